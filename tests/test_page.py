"""The page that describes actions, block by block: what it says is what happens."""

from __future__ import annotations

import pytest

from program import Ziet, masked, waits


def test_the_local_run_is_shown_to_the_letter(ziet: Ziet) -> None:
    done = ziet.project("page").run("my_action")

    assert (done.status, done.err) == (0, "")
    assert masked(done.out) == (
        "🧪 Running action locally: my_action\n"
        "\n"
        "[INFO] Starting local run...\n"
        "[INFO] Action my_action initialized\n"
        "[INFO] Action executing...\n"
        "[INFO] Memory added: key=result, value=10\n"
        "[INFO] Action my_action completed in 0.05s\n"
        "✅ Local run completed\n"
        "\n"
        'Result stored in memory: {"result": 10}\n'
    )


def test_a_basic_action_stores_its_result(ziet: Ziet) -> None:
    page = ziet.project("page")

    assert page.run("process_payment", "-p", "amount=25").memory == {
        "payment_result": {"status": "success", "amount": 25, "currency": "usd"}
    }
    assert page.run("process_payment", "--input", '{"amount": 3, "currency": "eur"}').memory == {
        "payment_result": {"status": "success", "amount": 3, "currency": "eur"}
    }


def test_each_parameter_of_the_decorator(ziet: Ziet) -> None:
    listed = {action["id"]: action for action in ziet.project("parameters").actions()}

    shown = {
        id: tuple(action[name] for name in ("name", "description", "timeout", "retries"))
        for id, action in listed.items()
    }
    assert shown == {
        "custom_action": ("Custom Action", "What it does", 300, 3),
        "process_payment": ("Process Payment", "Takes a payment", 300, 0),
        "charge_customer": ("Charge Customer", "Takes a payment with Stripe", 300, 0),
        "quick_operation": ("Quick Operation", "Is quick", 30, 0),
        "api_call": ("API Call", "Calls a service", 300, 3),
        "decorated.plain_action": ("Plain Action", "Has nothing but what it must have", 300, 0),
    }


@pytest.mark.parametrize(
    ("action", "stored"),
    [
        ("custom_action", {"action_result": {"result": "x"}}),
        ("process_payment", {"payment": {"amount": 7}}),
        ("charge_customer", {"charge": {"amount": 7}}),
        ("quick_operation", {"operation_result": "performed"}),
        ("api_call", {"api_response": {"status": 200}}),
        ("decorated.plain_action", {"plain": True}),
    ],
)
def test_the_examples_of_each_parameter(ziet: Ziet, action: str, stored: dict[str, object]) -> None:
    given = {"custom_action": ["-p", "param=x"], "process_payment": ["-p", "amount=7"]}
    given["charge_customer"] = given["process_payment"]

    done = ziet.project("parameters").run(action, *given.get(action, []))

    assert done.status == 0
    assert done.memory == stored


def test_a_flaky_call_is_retried_after_2_and_4_seconds(ziet: Ziet) -> None:
    url = "https://flaky.example/2"

    done = ziet.project("page").run("flaky_api_call", "-p", f"url={url}", "--json")

    run = done.document
    assert (done.status, run["status"]) == (0, "completed")
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["failed", "failed", "completed"]
    assert run["memory"][f"api_{url}"] == {"url": url, "ok": True}
    assert waits(run) == pytest.approx([2, 4], abs=1)
    assert all(wait > scheduled for wait, scheduled in zip(waits(run), [1.99, 3.99], strict=True))
    assert done.said("[WARN]") == ["[WARN] Retrying in 2s (attempt 2 of 4)", "[WARN] Retrying in 4s (attempt 3 of 4)"]


def test_a_call_that_never_works_fails_after_its_retries(ziet: Ziet) -> None:
    url = "https://flaky.example/100"

    done = ziet.project("page").run("flaky_api_call", "-p", f"url={url}", "--json", "--no-backoff")

    run = done.document
    assert (done.status, run["status"]) == (1, "failed")
    assert [attempt["outcome"] for attempt in run["attempts"]] == ["failed"] * 4
    assert run["error"]["type"] == "requests.HTTPError"
    assert run["error"]["message"] == f"503 Server Error for url: {url}"


def test_a_task_that_is_too_slow_is_ended_with_a_timeout_error(ziet: Ziet) -> None:
    page = ziet.project("page")

    slow = page.run("long_running_task", "--input", '{"data": {"seconds": 600}}')
    quick = page.run("long_running_task", "--input", '{"data": {"a": 1, "b": 2}}')

    assert slow.status == 1
    assert slow.said("[ERROR]") == [
        "[ERROR] Action long_running_task timed out: TimeoutError: exceeded its timeout of 1 s"
    ]
    assert "computation_result" not in slow.memory
    assert quick.memory == {"computation_result": 2}


def test_errors_are_handled_automatically(ziet: Ziet) -> None:
    done = ziet.project("page").run("risky_operation", "--input", '{"data": {"valid": false}}', "--no-backoff")

    assert done.status == 1
    assert done.said("[ERROR]") == ["[ERROR] Action risky_operation failed: ValueError: Invalid data"] * 3
    assert done.said("Retrying") == [
        "[WARN] Retrying in 0s (attempt 2 of 3)",
        "[WARN] Retrying in 0s (attempt 3 of 3)",
    ]
    assert done.out.count('    raise ValueError("Invalid data")\n') == 3
    error = done.memory["risky_operation.error"]
    assert error["traceback"].endswith('    raise ValueError("Invalid data")\nValueError: Invalid data')
    assert {name: value for name, value in error.items() if name != "traceback"} == {
        "type": "ValueError",
        "message": "Invalid data",
        "attempt": 3,
        "max_attempts": 3,
        "will_retry": False,
    }


def test_an_operation_without_errors_leaves_none_in_memory(ziet: Ziet) -> None:
    done = ziet.project("page").run("risky_operation", "--input", '{"data": {"valid": true}}')

    assert done.status == 0
    assert done.memory == {"operation_result": {"processed": ["valid"]}}


@pytest.mark.parametrize(
    ("data", "stored"),
    [
        ("{}", {"success": "took the risk", "status": "success"}),
        ('{"raise": "ValueError"}', {"validation_error": {"error": "not valid"}, "status": "validation_error"}),
        ('{"raise": "any"}', {"unexpected_error": {"error": "not expected"}, "status": "unexpected_error"}),
    ],
)
def test_errors_are_handled_by_hand(ziet: Ziet, data: str, stored: dict[str, object]) -> None:
    done = ziet.project("page").run("safe_operation", "--input", f'{{"data": {data}}}')

    assert (done.status, done.memory) == (0, stored)


def test_google_and_openai_are_mocked(ziet: Ziet) -> None:
    done = ziet.project("page").run("research_topic", "-p", "topic=Rust")

    assert done.status == 0
    assert done.said("Integration called")[0] == (
        '[INFO] Integration called (mocked): google.search("Rust", num_results=10)'
    )
    assert done.said("Integration called")[1].startswith(
        '[INFO] Integration called (mocked): openai.chat([{"role":"user","content":"Summarize: '
    )
    assert done.memory["topic"] == "Rust"
    results = done.memory["search_results"]
    assert len(results) == 10
    assert all(result.keys() == {"title", "link", "snippet"} and "Rust" in result["title"] for result in results)
    assert "Summarize: " in done.memory["summary"]


def test_mocks_answer_the_same_to_the_same(ziet: Ziet) -> None:
    page = ziet.project("page")
    assert page.run("research_topic", "-p", "topic=Go").memory == page.run("research_topic", "-p", "topic=Go").memory


def test_stripe_is_mocked(ziet: Ziet) -> None:
    done = ziet.project("page").run("charge_customer", "-p", "amount=20", "-p", "email=ada@example.com")

    assert done.status == 0
    assert done.said("Integration called") == [
        "[INFO] Integration called (mocked): stripe.create_payment_intent("
        'amount=2000, currency="usd", metadata={"customer_email":"ada@example.com"})'
    ]
    assert done.memory["payment_intent_id"].startswith("pi_")
    assert (done.memory["payment_status"], done.memory["payment_amount"]) == ("succeeded", 20)


def test_sendgrid_is_mocked(ziet: Ziet) -> None:
    done = ziet.project("page").run("send_welcome_email", "-p", "email=ada@example.com")

    assert done.status == 0
    assert done.said("Integration called") == [
        '[INFO] Integration called (mocked): sendgrid.send("ada@example.com", "Welcome!")'
    ]
    assert done.memory["email_sent"]["to"] == ["ada@example.com"]


def test_nested_actions_share_memory(ziet: Ziet) -> None:
    done = ziet.project("page").run("send_notification", "-p", "user_id=ada", "-p", "message=Hello")

    assert masked(done.out) == (
        "🧪 Running action locally: send_notification\n"
        "\n"
        "[INFO] Starting local run...\n"
        "[INFO] Action send_notification initialized\n"
        "[INFO] Action executing...\n"
        "[INFO] Memory read: key=user_ada, missing\n"
        "[INFO] Action fetch_user initialized\n"
        "[INFO] Action executing...\n"
        '[INFO] Memory added: key=user_ada, value={"id": "ada", "email": "ada@example.com"}\n'
        "[INFO] Action fetch_user completed in 0.05s\n"
        "[INFO] Memory read: key=user_ada, found\n"
        "[INFO] Memory added: key=notification_sent, value=\"sent 'Hello' to ada@example.com\"\n"
        "[INFO] Action send_notification completed in 0.05s\n"
        "✅ Local run completed\n"
        "\n"
        'Result stored in memory: {"user_ada": {"id": "ada", "email": "ada@example.com"}, '
        '"notification_sent": "sent \'Hello\' to ada@example.com"}\n'
    )


@pytest.mark.parametrize(
    ("action", "input", "stored"),
    [
        ("validate_email", '{"email": "a@b.c"}', {"email_valid": True}),
        ("validate_email", '{"email": "nobody"}', {"email_valid": False}),
        ("validate_and_send", '{"email": "nobody"}', {"error": "Invalid email"}),
        ("calculate_tax", '{"amount": 100, "region": "NY"}', {"tax_amount": 4.0}),
        ("validate_input", '{"data": {}}', {"validation_result": False}),
        ("call_external_api", '{"url": "https://x"}', {"api_response": {"url": "https://x", "ok": True}}),
        ("process_large_dataset", '{"data": [1, 2, 3]}', {"processed_data": 6}),
        ("fetch_from_api", '{"url": "https://x"}', {"api_data_https://x": {"url": "https://x", "ok": True}}),
        ("calculate_result", '{"x": 1, "y": 2}', {"calculation_result": 3}),
        ("fetch_user", '{"user_id": "u"}', {"user_u": {"id": "u", "email": "u@example.com"}}),
    ],
)
def test_the_examples_of_good_practice(ziet: Ziet, action: str, input: str, stored: dict[str, object]) -> None:
    done = ziet.project("page").run(action, "--input", input)

    assert (done.status, done.memory) == (0, stored)


def test_an_early_return_is_a_success(ziet: Ziet) -> None:
    done = ziet.project("page").run("validate_and_send", "-p", "email=nobody", "--json")

    assert done.document["status"] == "completed"
    assert len(done.document["attempts"]) == 1


def test_the_docstring_gives_test_data(ziet: Ziet) -> None:
    done = ziet.project("page").run("calculate_tax")

    assert done.err == 'note: test data: amount=10.0, region="CA"\n'
    assert (done.status, done.memory) == (0, {"tax_amount": 0.725})


def test_an_unknown_region_is_told(ziet: Ziet) -> None:
    done = ziet.project("page").run("calculate_tax", "-p", "amount=1", "-p", "region=XX")

    assert done.status == 1
    assert done.said("[ERROR]") == ["[ERROR] Action calculate_tax failed: ValueError: Unknown region: XX"]
