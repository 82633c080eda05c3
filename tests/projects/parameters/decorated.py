"""The page's examples of each parameter of the decorator; some share their ids with its longer examples."""

from ziet import Action, memory


@Action(id="custom_action", name="Custom Action", description="What it does", timeout=300, retries=3)
def my_action(param: str) -> None:
    result = {"result": param}
    memory.add(key="action_result", value=result)


@Action(id="process_payment", name="Process Payment", description="Takes a payment")
def process_payment(amount: int) -> None:
    memory.add(key="payment", value={"amount": amount})


@Action(id="charge_customer", name="Charge Customer", description="Takes a payment with Stripe")
def charge_customer(amount: int) -> None:
    memory.add(key="charge", value={"amount": amount})


@Action(id="quick_operation", name="Quick Operation", description="Is quick", timeout=30)
def quick_operation() -> None:
    result = perform_operation()
    memory.add(key="operation_result", value=result)


@Action(id="api_call", name="API Call", description="Calls a service", retries=3)
def unreliable_api_call() -> None:
    response = call_external_api()
    memory.add(key="api_response", value=response)


@Action(description="Has nothing but what it must have")
def plain_action() -> None:
    memory.add(key="plain", value=True)


def perform_operation() -> str:
    return "performed"


def call_external_api() -> dict[str, int]:
    return {"status": 200}
