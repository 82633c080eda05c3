"""Stripe payments."""

from __future__ import annotations

from ziet.integrations._mock import check, integration, is_dict, is_int, is_text, token

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

__all__ = ["create_payment_intent"]


@integration("stripe.create_payment_intent")
def create_payment_intent(
    amount: int,
    currency: str = "usd",
    metadata: Mapping[str, Any] | None = None,
    *,
    customer: str | None = None,
    description: str | None = None,
) -> dict[str, Any]:
    """Creates a payment.

    Args:
        amount: In the currency's smallest unit, cents for instance; a whole number, 0 or more.
        currency: The currency's code of three letters.
        metadata: A dict of your own to keep with the payment.
        customer: The id of the customer who pays.
        description: What the payment is for.

    Returns:
        The payment intent: `id`, `object`, `status`, `amount`, `currency`, `metadata`, `customer`, `description` and
        `client_secret`.

    Raises:
        ValueError: An argument is not as described.
        IntegrationError: Integrations are not mocked here.
    """
    call = "stripe.create_payment_intent"
    check(is_int(amount, 0), f"{call}: amount must be a whole number of the smallest unit, 0 or more", amount)
    is_code = is_text(currency) and len(currency) == 3 and currency.isascii() and currency.isalpha()
    check(is_code, f'{call}: currency must be a code of three letters such as "usd"', currency)
    check(metadata is None or is_dict(metadata), f"{call}: metadata must be a dict", metadata)
    check(customer is None or is_text(customer), f"{call}: customer must be the id of a customer", customer)
    check(description is None or is_text(description), f"{call}: description must be a text", description)
    labels = dict(metadata or {})
    intent_id = f"pi_{token(24, amount, currency, labels, customer, description)}"
    return {
        "id": intent_id,
        "object": "payment_intent",
        "status": "succeeded",
        "amount": amount,
        "currency": currency.lower(),
        "metadata": labels,
        "customer": customer,
        "description": description,
        "client_secret": f"{intent_id}_secret_{token(24, intent_id)}",
    }
