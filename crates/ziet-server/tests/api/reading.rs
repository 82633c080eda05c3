//! What is read: lists and their pages, one thing at a time, and that every answer is what the document says.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use serde_json::{Value, json};
use ziet_core::Scope;
use ziet_server::{ServerSettings, openapi};

use crate::served::{Answer, Served, request};

/// A server, and a key that may do everything.
async fn served() -> (Served, String) {
    let served = Served::start(ServerSettings::default());
    let key = served.key(Some("shop"), &[Scope::Admin]).await;
    (served, key)
}

/// The id of a run that has finished.
async fn ran(served: &Served, key: &str, action: &str, input: &Value) -> String {
    let body =
        json!({"action_id": action, "input": input, "metadata": {"order": "A-17"}}).to_string();
    let answer = served.post(key, "/v1/runs?wait=60", body).await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    answer.json()["id"].as_str().unwrap().to_owned()
}

async fn ids(served: &Served, key: &str, path: &str) -> Vec<String> {
    let answer = served.get(key, path).await;
    assert_eq!(answer.status, StatusCode::OK, "{path}: {:?}", answer.body);
    let listed = answer.json();
    let ids = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap().to_owned());
    ids.collect()
}

/// Holds answers against the document, in which nothing may stand that is not described.
struct Described(Value);

impl Described {
    fn new() -> Self {
        let mut document = serde_json::to_value(openapi()).unwrap();
        let schemas = document["components"]["schemas"].as_object_mut().unwrap();
        let part_of_another = ["Action", "KeyDocument"];
        for (name, schema) in schemas {
            let is_object = schema.get("properties").is_some() || schema.get("allOf").is_some();
            if is_object && !part_of_another.contains(&name.as_str()) {
                schema["unevaluatedProperties"] = json!(false);
            }
        }
        Self(document)
    }

    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let status = answer.status.as_str();
        let mut told = &self.0["paths"][path][method]["responses"][status];
        if let Some(shared) = told["$ref"].as_str() {
            told = self.0.pointer(shared.trim_start_matches('#')).unwrap();
        }
        let content = told["content"]
            .as_object()
            .unwrap_or_else(|| panic!("{method} {path} {status} is not described"));
        let media = answer.headers["content-type"].to_str().unwrap();
        let schema = &content[media]["schema"];
        let schema = json!({"components": self.0["components"], "allOf": [schema]});
        let validator = jsonschema::options()
            .should_validate_formats(true)
            .build(&schema)
            .unwrap();
        let wrong: Vec<String> = validator
            .iter_errors(&answer.json())
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(
            wrong.is_empty(),
            "{method} {path}: {wrong:#?}\n{:#}",
            answer.json()
        );
    }
}

#[tokio::test]
async fn every_answer_is_what_the_document_says() {
    let (served, key) = served().await;
    let described = Described::new();
    let good = ran(&served, &key, "actions.talk", &json!({"words": "one two"})).await;
    let bad = ran(&served, &key, "actions.fail", &json!({})).await;
    let created =
        json!({"action_id": "actions.add", "input": {"x": 1}, "start": false}).to_string();
    let created = served.post(&key, "/v1/runs", created).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    served
        .post(
            &key,
            &format!("/v1/runs/{created}/cancel"),
            r#"{"reason": "not needed"}"#,
        )
        .await;
    let memory = served.get(&key, &format!("/v1/runs/{good}")).await.json()["memory_id"].clone();
    let memory = memory.as_str().unwrap().to_owned();

    for run in [&good, &bad, &created] {
        for below in ["", "/logs", "/events", "/memory"] {
            let answer = served.get(&key, &format!("/v1/runs/{run}{below}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{below}: {:?}", answer.body);
            described.check("get", &format!("/v1/runs/{{id}}{below}"), &answer);
        }
    }
    for (path, template) in [
        ("/v1/runs", "/v1/runs"),
        ("/v1/actions", "/v1/actions"),
        ("/v1/actions/actions.book", "/v1/actions/{id}"),
        ("/v1/actions/nothing", "/v1/actions/{id}"),
        (&format!("/v1/memories/{memory}"), "/v1/memories/{id}"),
        ("/v1/memories/nothing", "/v1/memories/{id}"),
        ("/v1/runs/nothing/events", "/v1/runs/{id}/events"),
        ("/v1/runs?limit=0", "/v1/runs"),
        ("/v1/runs?cursor=x", "/v1/runs"),
        ("/v1/keys", "/v1/keys"),
        ("/v1/key", "/v1/key"),
        ("/openapi.json", "/openapi.json"),
    ] {
        described.check("get", template, &served.get(&key, path).await);
    }
    let made = served
        .post(
            &key,
            "/v1/keys",
            r#"{"name": "CI", "scopes": ["run", "read"]}"#,
        )
        .await;
    assert_eq!(made.status, StatusCode::CREATED, "{:?}", made.body);
    described.check("post", "/v1/keys", &made);
    let added = served
        .post(
            &key,
            &format!("/v1/runs/{good}/memory"),
            r#"{"key": "k", "value": null}"#,
        )
        .await;
    described.check("post", "/v1/runs/{id}/memory", &added);
    let delete = request(
        Method::DELETE,
        &format!("/v1/runs/{good}/memory?key=k"),
        &key,
        Body::empty(),
    );
    described.check("delete", "/v1/runs/{id}/memory", &served.ask(delete).await);
}

#[tokio::test]
async fn runs_are_found_by_what_is_asked_for_page_by_page() {
    let (served, key) = served().await;
    let mut runs = Vec::new();
    for number in 0..5 {
        runs.push(ran(&served, &key, "actions.add", &json!({"x": number})).await);
    }
    let failed = ran(&served, &key, "actions.fail", &json!({})).await;
    runs.push(failed.clone());
    runs.reverse();
    assert_eq!(ids(&served, &key, "/v1/runs").await, runs);

    let mut paged = Vec::new();
    let mut next = Some(String::new());
    while let Some(cursor) = next {
        let answer = served
            .get(&key, &format!("/v1/runs?limit=4{cursor}"))
            .await
            .json();
        paged.extend(
            answer["data"]
                .as_array()
                .unwrap()
                .iter()
                .map(|run| run["id"].as_str().unwrap().to_owned()),
        );
        let pagination = &answer["pagination"];
        assert_eq!(pagination["has_more"], !pagination["next_cursor"].is_null());
        next = pagination["next_cursor"]
            .as_str()
            .map(|cursor| format!("&cursor={cursor}"));
    }
    assert_eq!(paged, runs);

    let only = vec![failed.clone()];
    for filter in [
        "status=failed",
        "status=cancelled,failed",
        "status=cancelled&status=failed",
        "action=actions.fail",
        "text=valueerror",
        &format!("text={failed}"),
    ] {
        assert_eq!(
            ids(&served, &key, &format!("/v1/runs?{filter}")).await,
            only,
            "{filter}"
        );
    }
    assert_eq!(ids(&served, &key, "/v1/runs?text=a-17").await.len(), 6);
    assert_eq!(
        ids(
            &served,
            &key,
            "/v1/runs?created_before=2020-01-01T00:00:00Z"
        )
        .await
        .len(),
        0
    );
    assert_eq!(
        ids(
            &served,
            &key,
            "/v1/runs?created_after=2020-01-01T00:00:00%2B02:00"
        )
        .await
        .len(),
        6
    );
    for (wrong, code) in [
        ("limit=0", "invalid_request"),
        ("limit=101", "invalid_request"),
        ("status=done", "invalid_request"),
        ("created_after=yesterday", "invalid_request"),
        ("parent=1", "invalid_request"),
        ("page=2", "invalid_request"),
        ("action=a&action=b", "invalid_request"),
        ("cursor=2", "invalid_cursor"),
    ] {
        assert_eq!(
            served.get(&key, &format!("/v1/runs?{wrong}")).await.code(),
            code,
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_log_is_read_in_pages_by_level_and_by_text() {
    let (served, key) = served().await;
    let run = ran(
        &served,
        &key,
        "actions.talk",
        &json!({"words": "one two Three"}),
    )
    .await;
    let lines = async |query: &str| {
        let answer = served
            .get(&key, &format!("/v1/runs/{run}/logs?{query}"))
            .await
            .json();
        let told = |line: &Value| {
            format!("{} {} {}", line["seq"], line["level"], line["text"]).replace('"', "")
        };
        let lines: Vec<String> = answer["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(told)
            .collect();
        (
            lines,
            answer["pagination"]["next_cursor"]
                .as_str()
                .map(str::to_owned),
        )
    };
    let all = ["1 info one", "2 info two", "3 info Three", "4 warn mind"];
    assert_eq!(lines("").await.0, all);
    let (first, next) = lines("limit=3").await;
    assert_eq!(first, all[..3]);
    assert_eq!(
        lines(&format!("after={}", next.unwrap())).await,
        (vec![all[3].to_owned()], None)
    );
    assert_eq!(lines("level=warn").await.0, all[3..]);
    assert_eq!(lines("search=three").await.0, all[2..3]);
    assert_eq!(
        served
            .get(&key, &format!("/v1/runs/{run}/logs?level=loud"))
            .await
            .code(),
        "invalid_request"
    );
}

#[tokio::test]
async fn events_tell_what_happened_in_its_order_and_go_on_anywhere() {
    let (served, key) = served().await;
    let run = ran(&served, &key, "actions.fail", &json!({})).await;
    let path = format!("/v1/runs/{run}/events");
    let events = served.get(&key, &path).await.json()["data"]
        .as_array()
        .unwrap()
        .clone();
    let kinds: Vec<&str> = events
        .iter()
        .map(|event| event["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        ["created", "attempt_started", "attempt_finished", "failed"]
    );
    assert_eq!(events[2]["outcome"], "failed");
    assert_eq!(
        events[3]["error"],
        json!({"type": "ValueError", "message": "no", "code": "exception"})
    );
    for (place, event) in events.iter().enumerate() {
        let after = event["id"].as_str().unwrap();
        let rest = served
            .get(&key, &format!("{path}?after={after}"))
            .await
            .json();
        assert_eq!(rest["data"].as_array().unwrap(), &events[place + 1..]);
    }
    let page = served.get(&key, &format!("{path}?limit=3")).await.json();
    assert_eq!(page["pagination"]["next_cursor"], events[2]["id"]);

    let run = ran(&served, &key, "actions.insist", &json!({})).await;
    let path = format!("/v1/runs/{run}/events");
    let whole = served.get(&key, &path).await.json()["data"].clone();
    let kinds: Vec<String> = whole
        .as_array()
        .unwrap()
        .iter()
        .map(|event| format!("{} {}", event["kind"], event["attempt"]).replace('"', ""))
        .collect();
    assert_eq!(
        kinds,
        [
            "created null",
            "attempt_started 1",
            "attempt_finished 1",
            "attempt_started 2",
            "attempt_finished 2",
            "failed null"
        ]
    );
    for limit in [1, 2, 3] {
        let (mut paged, mut after) = (Vec::new(), String::new());
        loop {
            let page = format!("{path}?limit={limit}{after}");
            let page = served.get(&key, &page).await.json();
            paged.extend(page["data"].as_array().unwrap().clone());
            match page["pagination"]["next_cursor"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
            assert!(paged.len() < 10, "{paged:?}");
        }
        assert_eq!(json!(paged), whole);
    }
    assert_eq!(
        served.get(&key, &format!("{path}?after=x")).await.code(),
        "invalid_cursor"
    );
}

/// An entry that is added.
const NOTE: &str = r#"{"key": "k", "value": 1}"#;

#[tokio::test]
async fn a_memory_is_listed_looked_up_searched_and_changed() {
    let (served, key) = served().await;
    let run = ran(&served, &key, "actions.talk", &json!({"words": "one two"})).await;
    let path = format!("/v1/runs/{run}/memory");
    let values = async |query: &str| {
        let answer = served.get(&key, &format!("{path}?{query}")).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {:?}", answer.body);
        let entries = answer.json()["data"].as_array().unwrap().clone();
        entries
            .iter()
            .map(|entry| entry["value"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(values("").await, ["two", "one"]);
    assert_eq!(values("key=word").await, ["two"]);
    assert_eq!(values("key=nothing").await, [] as [&str; 0]);
    assert_eq!(values("query=WORD+one").await, ["one"]);
    assert_eq!(values("filter=%7B%22letters%22:3%7D").await.len(), 2);

    let page = served.get(&key, &format!("{path}?limit=1")).await.json();
    let next = page["pagination"]["next_cursor"].as_str().unwrap();
    assert_eq!(values(&format!("cursor={next}")).await, ["one"]);

    let page = format!("{path}?limit=1&query=word");
    let page = served.get(&key, &page).await.json();
    assert_eq!(page["data"][0]["value"], "two");
    let next = page["pagination"]["next_cursor"].as_str().unwrap();
    assert_eq!(values(&format!("query=word&cursor={next}")).await, ["one"]);
    for wrong in ["query=word", "cursor=1"] {
        let answer = served.get(&key, &format!("{path}?key=word&{wrong}")).await;
        assert_eq!(answer.code(), "invalid_request");
    }

    let levels = 1_000_000;
    let nested = format!(
        r#"{{"key": "k", "value": {}{}}}"#,
        "[".repeat(levels),
        "]".repeat(levels)
    );
    let entry = r#"{"key": "note", "value": {"a": [1, 2.50]}, "metadata": {"kind": "note"}}"#;
    let added = served.post(&key, &path, entry).await;
    assert_eq!(added.status, StatusCode::CREATED, "{:?}", added.body);
    assert_eq!(added.json()["run_id"], Value::Null);
    assert_eq!(values("query=note").await, [json!({"a": [1, 2.5]})]);
    for (wrong, code) in [
        (r#"{"key": "", "value": 1}"#, "invalid_memory"),
        (
            r#"{"key": "actions.fail.error", "value": 1}"#,
            "invalid_memory",
        ),
        (
            r#"{"key": "k", "value": 1, "metadata": [1]}"#,
            "invalid_memory",
        ),
        (r#"{"key": "k"}"#, "invalid_request"),
        (r#"{"key": "k", "value": 1, "ttl": 1}"#, "invalid_request"),
        // What code could not read.
        (&nested, "invalid_memory"),
        (r#"{"key": "k", "value": [1e999999]}"#, "invalid_memory"),
        (r#"{"key": "k", "value": "\ud800"}"#, "invalid_memory"),
        (
            r#"{"key": "k", "value": {"a": 1, "a": 2}}"#,
            "invalid_memory",
        ),
        (
            r#"{"key": "k", "value": 1, "metadata": {"a": 1, "a": 2}}"#,
            "invalid_memory",
        ),
    ] {
        let refused = served.post(&key, &path, wrong.to_owned()).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
        assert_eq!(refused.code(), code, "{wrong:.80}");
    }

    let remove = async |query: &str| {
        served
            .ask(request(
                Method::DELETE,
                &format!("{path}?{query}"),
                &key,
                Body::empty(),
            ))
            .await
    };
    let entry_id = added.json()["entry_id"].as_str().unwrap().to_owned();
    assert_eq!(
        remove(&format!("entry_id={entry_id}")).await.json(),
        json!({"removed": 1})
    );
    assert_eq!(remove("key=word").await.json(), json!({"removed": 2}));
    assert_eq!(remove("").await.code(), "invalid_request");
    assert_eq!(values("").await, [] as [&str; 0]);
    // By its own id, too, which is that of the run; and not by that of nothing.
    for (id, codes) in [(&*run, ["", ""]), (&entry_id, ["memory_not_found"; 2])] {
        let (path, none) = (format!("/v1/memories/{id}"), Body::empty());
        let added = served.post(&key, &path, NOTE).await.code();
        let gone = request(Method::DELETE, &(path + "?key=k"), &key, none);
        assert_eq!([added, served.ask(gone).await.code()], codes);
    }
}

#[tokio::test]
async fn actions_come_with_their_schemas_and_recent_figures() {
    let (served, key) = served().await;
    ran(&served, &key, "actions.add", &json!({"x": 1})).await;
    let listed = ids(&served, &key, "/v1/actions?limit=2").await;
    assert_eq!(listed, ["actions.add", "actions.book"]);
    assert_eq!(
        ids(&served, &key, "/v1/actions?limit=1&cursor=actions.book").await,
        ["actions.call"]
    );
    let action = served.get(&key, "/v1/actions/actions.add").await.json();
    assert_eq!(action["input_schema"]["required"], json!(["x"]));
    assert_eq!(action["recent"]["completed"], 1);
    assert_eq!(
        served.get(&key, "/v1/actions/no%2Fsuch").await.code(),
        "action_not_found"
    );
}

#[tokio::test]
async fn a_key_is_shown_once_and_counts_until_it_is_revoked() {
    let (served, key) = served().await;
    let made = served
        .post(&key, "/v1/keys", r#"{"name": "CI", "scopes": ["read"]}"#)
        .await
        .json();
    let (new, id) = (made["key"].as_str().unwrap(), made["id"].as_str().unwrap());
    assert_eq!(made["project_id"], "shop");
    assert_eq!(served.get(new, "/v1/runs").await.status, StatusCode::OK);
    assert_eq!(served.get(new, "/v1/keys").await.code(), "scope_missing");
    let own = served.get(new, "/v1/key").await.json();
    assert_eq!((&own["id"], &own["name"]), (&made["id"], &made["name"]));
    assert_eq!(own["server_version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(own["key"], Value::Null);
    let listed = served.get(&key, "/v1/keys").await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(new));
    assert!(
        ids(&served, &key, "/v1/keys")
            .await
            .contains(&id.to_owned())
    );

    let revoke = async || {
        served
            .ask(request(
                Method::DELETE,
                &format!("/v1/keys/{id}"),
                &key,
                Body::empty(),
            ))
            .await
    };
    assert_eq!(revoke().await.status, StatusCode::NO_CONTENT);
    assert_eq!(served.get(new, "/v1/runs").await.code(), "key_invalid");
    assert_eq!(revoke().await.code(), "key_not_found");
    for (wrong, code) in [
        (r#"{"name": "", "scopes": ["read"]}"#, "invalid_request"),
        (r#"{"name": "a", "scopes": []}"#, "invalid_request"),
        (r#"{"name": "a", "scopes": ["all"]}"#, "invalid_request"),
        (
            r#"{"name": "a", "scopes": ["read"], "all_projects": true}"#,
            "invalid_request",
        ),
        (
            r#"{"name": "a", "scopes": ["admin"], "all_projects": true}"#,
            "wrong_project",
        ),
    ] {
        assert_eq!(
            served.post(&key, "/v1/keys", wrong).await.code(),
            code,
            "{wrong}"
        );
    }
    let listed = ids(&served, &key, "/v1/keys").await;
    assert_eq!(listed.len(), 2);
    let page = served.get(&key, "/v1/keys?limit=1").await.json();
    assert_eq!(page["data"][0]["id"], *listed[0]);
    assert_eq!(page["pagination"]["next_cursor"], *listed[0]);
    let rest = format!("/v1/keys?limit=1&cursor={}", listed[0]);
    let rest = served.get(&key, &rest).await.json();
    assert_eq!(rest["data"][0]["id"], *listed[1]);
    assert_eq!(rest["pagination"]["has_more"], false);
    let all = served.key(None, &[Scope::Admin]).await;
    let made = served
        .post(
            &all,
            "/v1/keys",
            r#"{"name": "a", "scopes": ["admin"], "all_projects": true}"#,
        )
        .await;
    assert_eq!(made.json()["project_id"], Value::Null);
}

#[tokio::test]
async fn the_description_is_for_readers_or_for_all() {
    let (served, _) = served().await;
    let runner = served.key(Some("shop"), &[Scope::Run]).await;
    let reader = served.key(Some("shop"), &[Scope::Read]).await;
    for path in ["/docs", "/openapi.json"] {
        assert_eq!(served.get(&runner, path).await.code(), "scope_missing");
        assert_eq!(served.get(&reader, path).await.status, StatusCode::OK);
    }
    let open = Served::start(ServerSettings {
        public_metrics: true,
        ..ServerSettings::default()
    });
    let answer = open
        .ask(Request::get("/docs").body(Body::empty()).unwrap())
        .await;
    assert!(
        answer.headers["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert!(
        answer.headers["content-security-policy"]
            .to_str()
            .unwrap()
            .contains("default-src 'none'")
    );
}
