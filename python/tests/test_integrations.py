# pyright: reportArgumentType=false
"""Integrations: what they check, what they make up, and what they tell the run."""

import re

import pytest

from ziet import IntegrationError
from ziet.integrations import google, openai, sendgrid, stripe

MESSAGES = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Summarize: solar energy"}]

CALLS = [
    (lambda: google.search("ziet", num_results=3), 'google.search("ziet", num_results=3)'),
    (lambda: google.search("ziet"), 'google.search("ziet")'),
    (lambda: openai.chat([MESSAGES[1]]), 'openai.chat([{"role":"user","content":"Summarize: solar energy"}])'),
    (
        lambda: stripe.create_payment_intent(amount=500, currency="usd", metadata={"customer_email": "a@b.c"}),
        'stripe.create_payment_intent(amount=500, currency="usd", metadata={"customer_email":"a@b.c"})',
    ),
    (lambda: sendgrid.send("a@b.c", "Welcome!"), 'sendgrid.send("a@b.c", "Welcome!")'),
    (lambda: google.search("x" * 100), 'google.search("' + "x" * 56 + "...)"),
]


@pytest.mark.parametrize(("call", "text"), CALLS)
def test_each_call_is_told_as_it_reads_in_code(run, call, text):
    call()
    assert run.integration_calls == [text]


@pytest.mark.parametrize("call", [call for call, _ in CALLS])
def test_answers_depend_on_the_arguments_alone(run, call):
    assert call() == call()


@pytest.mark.parametrize(("call", "text"), CALLS)
def test_outside_of_local_mode_they_say_so(run, monkeypatch, call, text):
    name = text.partition("(")[0]
    message = re.escape(f"{name} cannot be called here: real integrations are not there yet.") + ".*`ziet run --local`"
    run.mocked = False
    with pytest.raises(IntegrationError, match=message):
        call()
    monkeypatch.setattr("ziet._context.run", None)
    with pytest.raises(IntegrationError, match=message):
        call()
    assert run.integration_calls == []


def test_search_has_as_many_results_as_asked_for(run):
    for count in (1, 7, 100):
        results = google.search("solar energy", num_results=count)
        assert len(results) == count
        assert all(set(result) == {"title", "link", "snippet"} for result in results)
        assert len({result["link"] for result in results}) == count
        assert all("solar energy" in result["title"] for result in results)
        assert all(result["link"].startswith("https://") for result in results)
    assert len(google.search("€ ∑")) == 10


def test_chat_answers_with_text_that_depends_on_the_conversation(run):
    answer = openai.chat(MESSAGES)
    assert isinstance(answer, str)
    assert "solar energy" in answer
    assert answer != openai.chat(MESSAGES[1:])
    assert answer != openai.chat(MESSAGES, model="gpt-4o")
    assert openai.chat(MESSAGES, "gpt-4o", temperature=0.5, max_tokens=10)


def test_a_payment_intent_is_plausible(run):
    intent = stripe.create_payment_intent(amount=500, currency="EUR", metadata={"order": "7"})
    assert re.fullmatch(r"pi_[0-9a-f]{24}", intent["id"])
    assert intent["client_secret"].startswith(intent["id"] + "_secret_")
    wanted = {"status": "succeeded", "amount": 500, "currency": "eur", "metadata": {"order": "7"}}
    assert {key: intent[key] for key in wanted} == wanted
    assert intent["id"] != stripe.create_payment_intent(amount=501, currency="EUR", metadata={"order": "7"})["id"]
    assert stripe.create_payment_intent(0)["metadata"] == {}


def test_a_sent_mail_is_accepted(run):
    sent = sendgrid.send("a@b.c", "Welcome!\nGood to have you", from_email="me@b.c", html=False)
    assert (sent["status"], sent["status_code"], sent["to"], sent["subject"]) == (
        "accepted",
        202,
        ["a@b.c"],
        "Welcome!",
    )
    assert sendgrid.send(["a@b.c", "d@e.f"], "Hi", subject="Greetings")["subject"] == "Greetings"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: google.search(""), "google.search: query must be a text that is not empty, got ''"),
        (lambda: google.search(5), "query must be a text"),
        (lambda: google.search("a", 0), "google.search: num_results must be a whole number from 1 to 100, got 0"),
        (lambda: google.search("a", 101), "got 101"),
        (lambda: google.search("a", True), "got True"),
        (lambda: google.search("a", language=""), "language must be a code"),
        (lambda: openai.chat([]), r"openai.chat: messages must be a list such as .*, got \[\]"),
        (lambda: openai.chat("Hello"), "messages must be a list such as .*, got 'Hello'"),
        (lambda: openai.chat(["Hello"]), r"openai.chat: messages\[0\] must be a dict with role and content"),
        (lambda: openai.chat([{"role": "user"}]), r"messages\[0\] must be a dict with role and content"),
        (lambda: openai.chat([*MESSAGES, {"role": "me", "content": ""}]), r"messages\[2\]: role must be one of system"),
        (lambda: openai.chat([{"role": "user", "content": 5}]), r"messages\[0\]: content must be a text"),
        (lambda: openai.chat([{"role": "user", "content": None}]), "content must be a text"),
        (lambda: openai.chat(MESSAGES, model=""), "model must be a model's name"),
        (lambda: openai.chat(MESSAGES, temperature=3), "temperature must be 0 to 2, got 3"),
        (lambda: openai.chat(MESSAGES, max_tokens=0), "max_tokens must be a whole number, at least 1, got 0"),
        (lambda: stripe.create_payment_intent(-1), "amount must be a whole number of the smallest unit, 0 or more"),
        (lambda: stripe.create_payment_intent(9.99), r"amount must be a whole number .*, got 9\.99"),
        (lambda: stripe.create_payment_intent(True), "amount must be a whole number"),
        (lambda: stripe.create_payment_intent(1, "dollars"), 'currency must be a code of three letters such as "usd"'),
        (lambda: stripe.create_payment_intent(1, metadata=["a"]), "metadata must be a dict"),
        (lambda: stripe.create_payment_intent(1, customer=5), "customer must be the id"),
        (lambda: stripe.create_payment_intent(1, description=""), "description must be a text"),
        (lambda: sendgrid.send("nobody", "Hi"), "to must be an email address or a list of them, got 'nobody'"),
        (lambda: sendgrid.send([], "Hi"), "to must be an email address"),
        (lambda: sendgrid.send(["a@b.c", ""], "Hi"), "to must be an email address"),
        (lambda: sendgrid.send("a@b.c", ""), "content must be a text that is not empty"),
        (lambda: sendgrid.send("a@b.c", "Hi", subject=""), "subject must be a text"),
        (lambda: sendgrid.send("a@b.c", "Hi", from_email="me"), "from_email must be an email address"),
        (lambda: sendgrid.send("a@b.c", "Hi", html="yes"), "html must be True or False"),
    ],
)
def test_wrong_arguments_are_told_before_anything_happens(run, call, message):
    with pytest.raises(ValueError, match=message):
        call()
    assert run.integration_calls == []
