"""OpenAI's language models."""

from __future__ import annotations

from ziet.integrations._mock import check, integration, is_dict, is_int, is_list, is_text, token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

__all__ = ["chat"]

_ROLES = ("system", "developer", "user", "assistant", "tool")
_PROMPT_LENGTH = 80


@integration("openai.chat")
def chat(
    messages: Sequence[Mapping[str, Any]],
    model: str = "gpt-4o-mini",
    *,
    temperature: float | None = None,
    max_tokens: int | None = None,
) -> str:
    """Asks a model to continue a conversation.

    Args:
        messages: The conversation so far, each message a dict with `role` (system, developer, user, assistant or
            tool) and `content`.
        model: The model's name.
        temperature: How varied answers are, 0 to 2; None for the model's own.
        max_tokens: The longest answer, in tokens, at least 1; None for the model's own.

    Returns:
        The text of the answer.

    Raises:
        ValueError: An argument is not as described.
        IntegrationError: Integrations are not mocked here.
    """
    _check_messages(messages)
    check(is_text(model), "openai.chat: model must be a model's name", model)
    check(temperature is None or _is_temperature(temperature), "openai.chat: temperature must be 0 to 2", temperature)
    check(
        max_tokens is None or is_int(max_tokens, 1),
        "openai.chat: max_tokens must be a whole number, at least 1",
        max_tokens,
    )
    conversation = [(message["role"], message["content"]) for message in messages]
    prompt = " ".join(str(conversation[-1][1]).split())
    if len(prompt) > _PROMPT_LENGTH:
        prompt = prompt[: _PROMPT_LENGTH - 3] + "..."
    return f'This is a mocked answer of {model} ({token(8, model, conversation)}) to: "{prompt}"'


def _check_messages(messages: Any) -> None:
    some = is_list(messages) and len(messages) > 0
    check(some, 'openai.chat: messages must be a list such as [{"role": "user", "content": "Hello"}]', messages)
    for index, message in enumerate(messages):
        where = f"openai.chat: messages[{index}]"
        has_both = is_dict(message) and "role" in message and "content" in message
        check(has_both, f"{where} must be a dict with role and content", message)
        role, content = message["role"], message["content"]
        check(role in _ROLES, f"{where}: role must be one of {', '.join(_ROLES)}", role)
        is_content = isinstance(content, str) or is_list(content) or (content is None and role == "assistant")
        check(is_content, f"{where}: content must be a text or a list of parts", content)


def _is_temperature(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 2
