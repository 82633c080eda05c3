import requests  # pyright: ignore[reportMissingModuleSource]
import work

from ziet import Action, memory


@Action(id="calculate_tax", name="Calculate Tax", description="Calculates the tax on an amount", timeout=10)
def calculate_tax(amount: float, region: str) -> None:
    """
    Calculates the tax of a region on an amount.

    Args:
        amount: What it is calculated on, in USD
        region: A region by its two letters (e.g., "CA", "NY")

    Stores:
        tax_amount: The tax in USD

    Raises:
        ValueError: If the region is not known
    """
    tax_rates = {"CA": 0.0725, "NY": 0.04, "TX": 0.0625}
    if region not in tax_rates:
        raise ValueError(f"Unknown region: {region}")
    tax_amount = amount * tax_rates[region]
    memory.add(key="tax_amount", value=tax_amount)


@Action(id="validate_input", name="Validate Input", description="Looks at data", timeout=10)
def validate_input(data: dict) -> None:
    is_valid = work.validate(data)
    memory.add(key="validation_result", value=is_valid)


@Action(id="call_external_api", name="Call API", description="Calls a service", timeout=60)
def call_external_api(url: str) -> None:
    response = requests.get(url)
    memory.add(key="api_response", value=response.json())


@Action(id="process_large_dataset", name="Process Dataset", description="Adds up many numbers", timeout=300)
def process_large_dataset(data: list) -> None:
    result = work.expensive_processing(data)
    memory.add(key="processed_data", value=result)


@Action(id="fetch_from_api", name="Fetch from API", description="Reads from a service", retries=3, timeout=30)
def fetch_from_api(url: str) -> None:
    response = requests.get(url)
    memory.add(key=f"api_data_{url}", value=response.json())


@Action(id="calculate_result", name="Calculate Result", description="Adds two numbers", timeout=10)
def calculate_result(x: int, y: int) -> None:
    result = x + y
    memory.add(key="calculation_result", value=result)
