"""The action of the page's local run."""

from ziet import Action, memory


@Action(id="my_action", description="Adds up")
def my_action(a: int = 4, b: int = 6) -> None:
    memory.add(key="result", value=a + b)
