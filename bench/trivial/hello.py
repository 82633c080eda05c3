"""The smallest project: what a run of it takes is what Ziet itself takes."""

from ziet import Action, memory


@Action(description="Store a number")
def hello() -> None:
    """Store a number.

    Stores:
        result: A number
    """
    memory.add(key="result", value=10)
