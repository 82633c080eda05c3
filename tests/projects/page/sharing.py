"""Actions that use integrations and share memory."""

import database
import work

from ziet import Action, memory
from ziet.integrations import google, openai, sendgrid


@Action(id="research_topic", name="Research Topic", description="Searches and sums up", timeout=60)
def research_topic(topic: str) -> None:
    search_results = google.search(topic, num_results=10)
    summary = openai.chat([{"role": "user", "content": f"Summarize: {search_results}"}])
    memory.add(key="topic", value=topic)
    memory.add(key="summary", value=summary)
    memory.add(key="search_results", value=search_results)


@Action(id="fetch_user", name="Fetch User", description="Reads a user from the database")
def fetch_user(user_id: str) -> None:
    user = database.get_user(user_id)
    memory.add(key=f"user_{user_id}", value=user)


@Action(id="send_notification", name="Send Notification", description="Tells a user something")
def send_notification(user_id: str, message: str) -> None:
    user = memory.get(f"user_{user_id}")
    if not user:
        fetch_user(user_id)
        user = memory.get(f"user_{user_id}")
    result = work.send_email(user["email"], message)
    memory.add(key="notification_sent", value=result)


@Action(id="validate_email", name="Validate Email", description="Looks at an address")
def validate_email(email: str) -> None:
    is_valid = "@" in email and "." in email
    memory.add(key="email_valid", value=is_valid)


@Action(id="send_welcome_email", name="Send Welcome Email", description="Says welcome")
def send_welcome_email(email: str) -> None:
    result = sendgrid.send(email, "Welcome!")
    memory.add(key="email_sent", value=result)


@Action(description="Does too much")
def validate_and_send(email: str) -> None:
    if "@" not in email:
        memory.add(key="error", value="Invalid email")
        return
    result = sendgrid.send(email, "Welcome!")
    memory.add(key="email_sent", value=result)
