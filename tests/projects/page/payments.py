from ziet import Action, memory
from ziet.integrations import stripe


@Action(id="process_payment", name="Process Payment", description="Takes a payment")
def process_payment(amount: int, currency: str = "usd") -> None:
    memory.add(key="payment_result", value={"status": "success", "amount": amount, "currency": currency})


@Action(id="charge_customer", name="Charge Customer", description="Takes a payment with Stripe", timeout=30, retries=2)
def charge_customer(amount: int, email: str) -> None:
    intent = stripe.create_payment_intent(amount=amount * 100, currency="usd", metadata={"customer_email": email})
    memory.add(key="payment_intent_id", value=intent["id"])
    memory.add(key="payment_status", value=intent["status"])
    memory.add(key="payment_amount", value=amount)
