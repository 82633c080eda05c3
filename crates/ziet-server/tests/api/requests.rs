//! What is wrong with a request, and what every answer has.

use axum::body::{Body, Bytes};
use axum::http::{Method, Request, StatusCode};
use futures_util::stream;
use insta::assert_snapshot;
use serde_json::json;
use ziet_core::Scope;
use ziet_server::ServerSettings;

use crate::served::{Served, request};

async fn served() -> (Served, String) {
    let served = Served::start(ServerSettings::default());
    let key = served.key(Some("shop"), &[Scope::Run]).await;
    (served, key)
}

#[tokio::test]
async fn every_wrong_parameter_is_named_with_its_place() {
    let (served, key) = served().await;
    let wrong = r#"{"action_id": "actions.book", "input": {"seats": 1.5, "name": 7, "nmae": "x", "day": "2024-02-30"}}"#;
    assert_snapshot!(served.post(&key, "/v1/runs", wrong).await.problem(), @r#"
    {
      "type": "urn:ziet:problem:invalid_input",
      "title": "Input does not fit the action",
      "status": 422,
      "detail": "the input does not fit the parameters of actions.book",
      "code": "invalid_input",
      "errors": [
        {
          "pointer": "/input/seats",
          "message": "it is none of what is allowed: `seats` is `int | None`"
        },
        {
          "pointer": "/input/name",
          "message": "it is not of type \"string\": `name` is `str`"
        },
        {
          "pointer": "/input/day",
          "message": "it is not a \"date\": `day` is `date`"
        },
        {
          "pointer": "/input/nmae",
          "message": "actions.book has no such parameter, did you mean `name`?"
        }
      ]
    }
    "#);
    let missing = r#"{"action_id": "actions.book"}"#;
    assert_snapshot!(served.post(&key, "/v1/runs", missing).await.problem(), @r#"
    {
      "type": "urn:ziet:problem:invalid_input",
      "title": "Input does not fit the action",
      "status": 422,
      "detail": "the input does not fit the parameters of actions.book",
      "code": "invalid_input",
      "errors": [
        {
          "pointer": "/input/day",
          "message": "it is missing: `day` is `date`"
        }
      ]
    }
    "#);
    let unknown = r#"{"action_id": "actions.ad", "input": {"x": 1}}"#;
    assert_snapshot!(served.post(&key, "/v1/runs", unknown).await.problem(), @r#"
    {
      "type": "urn:ziet:problem:action_not_found",
      "title": "Action not found",
      "status": 404,
      "detail": "the project has no action \"actions.ad\", did you mean `actions.add`?",
      "code": "action_not_found",
      "errors": [
        {
          "pointer": "/action_id",
          "message": "the project has no action \"actions.ad\", did you mean `actions.add`?"
        }
      ]
    }
    "#);
    let batch = r#"{"runs": [{"action_id": "actions.add", "input": {"x": 1}}, {"action_id": "actions.add"}, {"action_id": "actions.add", "input": [1]}]}"#;
    assert_snapshot!(served.post(&key, "/v1/runs/batch", batch).await.problem(), @r#"
    {
      "type": "urn:ziet:problem:invalid_input",
      "title": "Input does not fit the action",
      "status": 422,
      "detail": "the input does not fit the parameters of actions.add",
      "code": "invalid_input",
      "errors": [
        {
          "pointer": "/runs/1/input/x",
          "message": "it is missing: `x` is `int`"
        },
        {
          "pointer": "/runs/2/input",
          "message": "it is not of type \"object\""
        }
      ]
    }
    "#);
}

#[tokio::test]
async fn what_is_not_a_request_is_refused() {
    let (served, key) = served().await;
    let deep = format!(
        r#"{{"action_id": "actions.echo", "input": {{"value": {}{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let large = format!(
        r#"{{"action_id": "actions.echo", "input": {{"value": {{"a": "{}"}}}}}}"#,
        "a".repeat(6 << 20)
    );
    let cases: &[(&str, &[u8], u16, &str)] = &[
        ("not JSON", b"{", 400, "invalid_json"),
        ("not UTF-8", b"{\"action_id\": \"\xff\"}", 400, "invalid_json"),
        ("an array", b"[]", 422, "invalid_request"),
        ("nothing", b"", 422, "invalid_request"),
        ("an unknown field", br#"{"action_id": "actions.add", "inptu": {}}"#, 422, "invalid_request"),
        ("a field twice", br#"{"action_id": "actions.add", "action_id": "actions.add"}"#, 400, "invalid_json"),
        ("a name twice", br#"{"action_id": "actions.add", "input": {"x": 1, "x": 2}}"#, 422, "invalid_input"),
        ("no number", br#"{"action_id": "actions.add", "input": {"x": 1e999}}"#, 422, "invalid_input"),
        ("deep", deep.as_bytes(), 422, "invalid_input"),
        ("large", large.as_bytes(), 422, "invalid_input"),
        ("metadata", br#"{"action_id": "actions.add", "input": {"x": 1}, "metadata": []}"#, 422, "invalid_request"),
        ("a key", br#"{"action_id": "actions.add", "input": {"x": 1}, "idempotency_key": ""}"#, 422, "invalid_request"),
        ("a memory", br#"{"action_id": "actions.add", "input": {"x": 1}, "memory_id": "a"}"#, 422, "invalid_request"),
        ("two times", br#"{"action_id": "actions.add", "input": {"x": 1}, "run_at": "2026-01-01T00:00:00Z", "delay_seconds": 1}"#, 422, "invalid_request"),
        ("a time", br#"{"action_id": "actions.add", "input": {"x": 1}, "run_at": "tomorrow"}"#, 422, "invalid_request"),
        ("far", br#"{"action_id": "actions.add", "input": {"x": 1}, "delay_seconds": 1e300}"#, 422, "invalid_request"),
        ("back", br#"{"action_id": "actions.add", "input": {"x": 1}, "delay_seconds": -1}"#, 422, "invalid_request"),
    ];
    for (what, body, status, code) in cases {
        let answer = served
            .post(&key, "/v1/runs", Bytes::from(body.to_vec()))
            .await;
        assert_eq!(
            (answer.status.as_u16(), answer.code().as_str()),
            (*status, *code),
            "{what}: {:?}",
            answer.body
        );
        // What is refused is not shown again, however large.
        assert!(
            answer.body.len() < 2000,
            "{what}: {} bytes",
            answer.body.len()
        );
    }
    let far = [
        ("/delay_seconds", r#""delay_seconds": 31622401"#),
        ("/run_at", r#""run_at": "2999-01-01T00:00:00Z""#),
    ];
    for (pointer, due) in far {
        let body = format!(r#"{{"action_id": "actions.add", "input": {{"x": 1}}, {due}}}"#);
        let problem = served.post(&key, "/v1/runs", body).await.problem();
        assert!(
            problem.contains(&format!(r#""pointer": "{pointer}""#)),
            "{problem}"
        );
    }
    let many = format!(
        r#"{{"runs": [{}]}}"#,
        vec![r#"{"action_id": "actions.add"}"#; 1001].join(",")
    );
    for batch in [many.as_str(), r#"{"runs": []}"#] {
        assert_eq!(
            served
                .post(&key, "/v1/runs/batch", batch.to_owned())
                .await
                .code(),
            "invalid_request"
        );
    }
    for path in [
        "/v1/runs?wait=x",
        "/v1/runs?wait=901",
        "/v1/runs?wiat=1",
        "/v1/runs?wait=1&wait=2",
    ] {
        let body = r#"{"action_id": "actions.add", "input": {"x": 1}}"#;
        assert_eq!(
            served.post(&key, path, body).await.code(),
            "invalid_request",
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_field_that_does_not_fit_is_named_with_its_place_in_plain_words() {
    let (served, key) = served().await;
    let cases = [
        (
            r#"{"action_id": 3}"#,
            "/action_id",
            "it is a string, not integer `3`",
        ),
        (r#"{"input": {}}"#, "/action_id", "it is missing"),
        (
            r#"{"action_id": "actions.add", "inptu": {}}"#,
            "/inptu",
            "there is no such field, did you mean `input`?",
        ),
        (
            r#"{"action_id": "actions.add", "start": "no"}"#,
            "/start",
            r#"it is a boolean, not string "no""#,
        ),
        (
            r#"{"action_id": "actions.add", "delay_seconds": []}"#,
            "/delay_seconds",
            "it is a number, not an array",
        ),
        (
            r#"{"action_id": "a", "action_id": "b"}"#,
            "/action_id",
            "it is there twice",
        ),
        ("[]", "", "it is an object, not an array"),
    ];
    for (body, pointer, message) in cases {
        let problem = served.post(&key, "/v1/runs", body).await.json();
        let fault = json!({"pointer": pointer, "message": message});
        assert_eq!(problem["errors"], json!([fault]), "{body}: {problem}");
    }
    let batch = r#"{"runs": [{"action_id": "actions.add"}, {"action_id": 1}]}"#;
    let problem = served.post(&key, "/v1/runs/batch", batch).await.json();
    assert_eq!(problem["errors"][0]["pointer"], "/runs/1/action_id");
    let admin = served.key(None, &[Scope::Admin]).await;
    let wrong = r#"{"name": "x", "scopes": ["reed"]}"#;
    let problem = served.post(&admin, "/v1/keys", wrong).await.json();
    assert_eq!(
        problem["errors"],
        json!([{"pointer": "/scopes/0", "message": r#"it is one of `admin`, `deploy`, `run`, `read`, not "reed""#}])
    );
    let empty = served.post(&key, "/v1/runs", "").await.json();
    assert_eq!(empty["detail"], "the body is empty: send a JSON object");
}

#[tokio::test]
async fn a_body_is_refused_before_it_is_read() {
    let (served, key) = served().await;
    let mut announced = request(
        Method::POST,
        "/v1/runs",
        &key,
        Body::from(vec![b' '; (8 << 20) + 1]),
    );
    assert_snapshot!(served.ask(announced).await.problem(), @r#"
    {
      "type": "urn:ziet:problem:body_too_large",
      "title": "Body too large",
      "status": 413,
      "detail": "the body may have 8 MB at most",
      "code": "body_too_large"
    }
    "#);
    let endless =
        stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from_static(&[b' '; 16384])));
    announced = request(Method::POST, "/v1/runs", &key, Body::from_stream(endless));
    assert_eq!(
        served.ask(announced).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let mut text = request(Method::POST, "/v1/runs", &key, "{}");
    text.headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(
        served.ask(text).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    // Nobody reads what comes from nobody: this one would never end.
    let endless = stream::pending::<Result<Bytes, std::io::Error>>();
    let nobody = request(
        Method::POST,
        "/v1/runs",
        "sk_nobody",
        Body::from_stream(endless),
    );
    assert_eq!(served.ask(nobody).await.code(), "key_invalid");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let (served, key) = served().await;
    assert_snapshot!(served.get(&key, "/v2/runs").await.problem(), @r#"
    {
      "type": "urn:ziet:problem:not_found",
      "title": "Not found",
      "status": 404,
      "detail": "there is no such path; `/docs` lists those that there are",
      "code": "not_found"
    }
    "#);
    let wrong = served
        .ask(request(Method::PUT, "/v1/runs/batch", &key, "{}"))
        .await;
    assert_eq!(
        (
            wrong.code().as_str(),
            wrong.headers["allow"].to_str().unwrap()
        ),
        ("method_not_allowed", "POST")
    );
    for path in [
        "/v1/runs/0198f2c1-7a3e-7b10-8c55-3f9d2a6e1b04/cancel",
        "/v1/runs/nothing/cancel",
    ] {
        assert_eq!(
            served.post(&key, path, "").await.code(),
            "run_not_found",
            "{path}"
        );
    }
}

#[tokio::test]
async fn every_answer_has_the_id_of_its_request() {
    let (served, _) = served().await;
    let with_id = async |id: &str| {
        let request = Request::get("/healthz").header("x-request-id", id);
        let answer = served.ask(request.body(Body::empty()).unwrap()).await;
        answer.headers["x-request-id"].to_str().unwrap().to_owned()
    };
    assert_eq!(with_id("abc-123").await, "abc-123");
    let long = "a".repeat(129);
    for strange in ["", "a b", "a\"b", long.as_str()] {
        let made = with_id(strange).await;
        assert_eq!((made.len(), made.as_bytes()[14]), (36, b'7'), "{made}");
    }
}

#[tokio::test]
async fn a_server_that_is_stopping_says_so() {
    let (served, _) = served().await;
    assert_eq!(served.get("", "/readyz").await.status, StatusCode::OK);
    served.platform.drain();
    assert_eq!(served.get("", "/readyz").await.code(), "draining");
    assert_eq!(served.get("", "/healthz").await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_array_is_not_taken_for_an_object() {
    let (served, key) = served().await;
    for (path, body, place) in [
        ("/v1/runs", r#"["actions.add", {"x": 1}]"#, ""),
        (
            "/v1/runs/batch",
            r#"{"runs": [["actions.add", {"x": 1}]]}"#,
            "/runs/0",
        ),
    ] {
        let refused = served.post(&key, path, body).await;
        assert_eq!(refused.code(), "invalid_request");
        let error = &refused.json()["errors"][0];
        assert_eq!(error["pointer"], place);
        assert_eq!(error["message"], "it is an object, not an array");
    }
}

#[tokio::test]
async fn who_is_refused_unread_is_told_that_the_connection_ends() {
    let (served, key) = served().await;
    let ends = async |key: &str| {
        let body = r#"{"action_id": "actions.ad"}"#;
        let refused = served
            .respond(request(Method::POST, "/v1/runs", key, body))
            .await;
        refused.headers().get("connection").cloned()
    };
    assert_eq!(ends("sk_nobody").await.unwrap(), "close");
    assert_eq!(ends(&key).await, None);
}
