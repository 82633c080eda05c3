//! Submitting runs, and what becomes of them.

use axum::http::StatusCode;
use serde_json::{Value, json};
use ziet_core::Scope;
use ziet_server::ServerSettings;

use crate::served::{Answer, Served};

async fn served() -> (Served, String) {
    let served = Served::start(ServerSettings::default());
    let key = served.key(Some("shop"), &[Scope::Run]).await;
    (served, key)
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is called with what `json!` makes"
)]
fn wanted(action: &str, input: Value, more: Value) -> String {
    let mut wanted = json!({"action_id": action, "input": input});
    wanted
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    wanted.to_string()
}

fn id(answer: &Answer) -> String {
    answer.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn who_waits_gets_the_finished_run() {
    let (served, key) = served().await;
    let answer = served
        .post(
            &key,
            "/v1/runs?wait=60",
            wanted(
                "actions.add",
                json!({"x": 2}),
                json!({"metadata": {"order": 7}}),
            ),
        )
        .await;
    let run = answer.json();
    assert_eq!(answer.status, StatusCode::OK, "{run}");
    assert_eq!(
        answer.headers["location"].to_str().unwrap(),
        format!("/v1/runs/{}", id(&answer))
    );
    assert_eq!(
        (&run["status"], &run["output"], &run["metadata"]),
        (&json!("completed"), &json!(3), &json!({"order": 7}))
    );
    let failed = served
        .post(
            &key,
            "/v1/runs?wait=60",
            wanted("actions.fail", json!({}), json!({})),
        )
        .await;
    assert_eq!(
        (failed.status, &failed.json()["error"]["message"]),
        (StatusCode::OK, &json!("no"))
    );
}

#[tokio::test]
async fn who_waits_too_short_gets_the_run_as_it_stands() {
    let (served, key) = served().await;
    let rest = wanted("actions.rest", json!({"seconds": 60}), json!({}));
    let begun = served.post(&key, "/v1/runs?wait=1", rest).await;
    assert_eq!(
        (begun.status, begun.json()["finished_at"].is_null()),
        (StatusCode::ACCEPTED, true)
    );
    let place = format!("/v1/runs/{}/cancel", id(&begun));
    let cancelled = served.post(&key, &place, r#"{"reason": "too slow"}"#).await;
    assert_eq!(cancelled.status, StatusCode::OK);
    assert_eq!(
        cancelled.json()["cancelled"],
        json!({"by": "key tests", "reason": "too slow"})
    );
    // Twice is as good as once, but what has finished otherwise stays.
    assert_eq!(served.post(&key, &place, "").await.status, StatusCode::OK);
    let done = served
        .post(
            &key,
            "/v1/runs?wait=60",
            wanted("actions.add", json!({"x": 1}), json!({})),
        )
        .await;
    let place = format!("/v1/runs/{}/cancel", id(&done));
    assert_eq!(served.post(&key, &place, "").await.code(), "run_finished");
}

#[tokio::test]
async fn a_run_that_was_submitted_before_is_waited_for() {
    let (served, _) = served().await;
    let key = served.key(Some("shop"), &[Scope::Run, Scope::Read]).await;
    let rest = wanted("actions.rest", json!({"seconds": 60}), json!({}));
    let run = id(&served.post(&key, "/v1/runs", rest).await);
    let path = format!("/v1/runs/{run}");
    let early = served.get(&key, &format!("{path}?wait=1")).await;
    assert_eq!(
        (early.status, early.json()["finished_at"].is_null()),
        (StatusCode::OK, true)
    );
    let (waiting, cancel) = (format!("{path}?wait=60"), format!("{path}/cancel"));
    let (waited, _) = tokio::join!(served.get(&key, &waiting), served.post(&key, &cancel, ""));
    assert_eq!(waited.json()["status"], "cancelled");
    let again = served.get(&key, &waiting).await;
    assert_eq!(again.json(), waited.json());
    let unknown = "/v1/runs/01a20995-b522-776f-afb9-8e5539977626?wait=60";
    assert_eq!(served.get(&key, unknown).await.code(), "run_not_found");
}

#[tokio::test]
async fn the_input_stays_the_bytes_that_came() {
    let (served, key) = served().await;
    let body = r#"{"action_id": "actions.echo", "input": {"value":  {"b": 1.50, "a": "\u00e9"}}}"#;
    let answer = served.post(&key, "/v1/runs", body).await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(
        text.contains(r#""input":{"value":  {"b": 1.50, "a": "\u00e9"}}"#),
        "{text}"
    );
}

#[tokio::test]
async fn the_same_idempotency_key_is_the_same_run() {
    let (served, key) = served().await;
    let submit = async |x: i64| {
        served
            .post(
                &key,
                "/v1/runs?wait=60",
                wanted(
                    "actions.add",
                    json!({"x": x}),
                    json!({"idempotency_key": "order-7"}),
                ),
            )
            .await
    };
    let first = submit(1).await;
    let again = submit(1).await;
    assert_eq!(id(&first), id(&again));
    assert_eq!(first.headers.get("idempotent-replayed"), None);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(
        (submit(2).await.status, submit(2).await.code().as_str()),
        (StatusCode::CONFLICT, "idempotency_mismatch")
    );
}

#[tokio::test]
async fn a_created_run_waits_to_be_started() {
    let (served, key) = served().await;
    let created = served
        .post(
            &key,
            "/v1/runs",
            wanted("actions.add", json!({"x": 1}), json!({"start": false})),
        )
        .await;
    assert_eq!(
        (created.status, &created.json()["status"]),
        (StatusCode::ACCEPTED, &json!("created"))
    );
    let place = format!("/v1/runs/{}/invoke", id(&created));
    let done = served.post(&key, &format!("{place}?wait=60"), "").await;
    assert_eq!(
        (done.status, &done.json()["output"]),
        (StatusCode::OK, &json!(2))
    );
    let again = served.post(&key, &place, "{}").await;
    assert!(
        ["not_created", "run_finished"].contains(&again.code().as_str()),
        "{:?}",
        again.body
    );
    assert_eq!(
        served.post(&key, &place, r#"{"x": 1}"#).await.code(),
        "invalid_request"
    );
}

#[tokio::test]
async fn a_delayed_run_is_due_later() {
    let (served, key) = served().await;
    let later = served
        .post(
            &key,
            "/v1/runs",
            wanted(
                "actions.add",
                json!({"x": 1}),
                json!({"delay_seconds": 3600.5}),
            ),
        )
        .await;
    assert_eq!(later.json()["status"], "scheduled");
    let at = served
        .post(
            &key,
            "/v1/runs",
            wanted(
                "actions.add",
                json!({"x": 1}),
                json!({"run_at": "2020-01-01T00:00:00+02:00"}),
            ),
        )
        .await;
    assert_ne!(at.json()["status"], "scheduled");
}

#[tokio::test]
async fn a_finished_run_is_repeated_as_a_new_one() {
    let (served, key) = served().await;
    let old = served
        .post(
            &key,
            "/v1/runs?wait=60",
            wanted("actions.add", json!({"x": 5}), json!({})),
        )
        .await;
    let place = format!("/v1/runs/{}/retry?wait=60", id(&old));
    let refused = served.post(&key, &place, "").await;
    assert_eq!(
        refused.code(),
        "scope_missing",
        "it would show what others have given"
    );
    let key = served.key(Some("shop"), &[Scope::Run, Scope::Read]).await;
    let new = served.post(&key, &place, "").await;
    let (old, new) = (old.json(), new.json());
    assert_eq!(
        (&new["retry_of"], &new["output"], &new["memory_id"]),
        (&old["id"], &json!(6), &old["memory_id"])
    );
    assert_ne!(new["id"], old["id"]);
    let rest = served
        .post(
            &key,
            "/v1/runs",
            wanted("actions.rest", json!({"seconds": 60}), json!({})),
        )
        .await;
    let place = format!("/v1/runs/{}/retry", id(&rest));
    assert_eq!(
        served.post(&key, &place, "").await.code(),
        "run_not_finished"
    );
}

#[tokio::test]
async fn a_batch_is_accepted_as_a_whole() {
    let (served, key) = served().await;
    let runs: Vec<Value> = (0..1000)
        .map(|x| json!({"action_id": "actions.add", "input": {"x": x}}))
        .collect();
    let accepted = served
        .post(&key, "/v1/runs/batch", json!({"runs": runs}).to_string())
        .await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    let accepted = accepted.json();
    assert_eq!(accepted["data"].as_array().unwrap().len(), 1000);
    assert_eq!(accepted["data"][999]["existing"], false);
}
