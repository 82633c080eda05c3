"""SendGrid email."""

from __future__ import annotations

from ziet.integrations._mock import check, integration, is_text, token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

__all__ = ["send"]


@integration("sendgrid.send")
def send(
    to: str | Sequence[str],
    content: str,
    subject: str | None = None,
    *,
    from_email: str | None = None,
    html: bool = False,
) -> dict[str, Any]:
    """Sends an email.

    Args:
        to: The address of who gets it, or a list of addresses.
        content: Its text.
        subject: Its subject; the first line of the content if None.
        from_email: The sender's address; the account's own if None.
        html: Whether the content is HTML.

    Returns:
        What became of it: `id`, `status` ("accepted"), `status_code` (202), `to` (a list) and `subject`.

    Raises:
        ValueError: An argument is not as described.
        IntegrationError: Integrations are not mocked here.
    """
    addresses = [to] if isinstance(to, str) else list(to) if isinstance(to, (list, tuple)) else []
    is_to = bool(addresses) and all(_is_address(address) for address in addresses)
    check(is_to, "sendgrid.send: to must be an email address or a list of them", to)
    check(is_text(content), "sendgrid.send: content must be a text that is not empty", content)
    check(subject is None or is_text(subject), "sendgrid.send: subject must be a text that is not empty", subject)
    check(
        from_email is None or _is_address(from_email), "sendgrid.send: from_email must be an email address", from_email
    )
    check(isinstance(html, bool), "sendgrid.send: html must be True or False", html)  # pyright: ignore[reportUnnecessaryIsInstance]
    first_line = content.strip().splitlines()[0]
    return {
        "id": token(22, addresses, content, subject, from_email, html),
        "status": "accepted",
        "status_code": 202,
        "to": addresses,
        "subject": subject or first_line,
    }


def _is_address(address: object) -> bool:
    if not isinstance(address, str) or any(character.isspace() for character in address):
        return False
    name, at, domain = address.rpartition("@")
    return bool(name and at and domain)
