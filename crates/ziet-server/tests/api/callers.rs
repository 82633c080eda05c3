//! Who may ask, and for what.

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use insta::assert_snapshot;
use ziet_core::Scope;
use ziet_server::ServerSettings;

use crate::served::{Served, request};

const SUBMIT: &str = r#"{"action_id": "actions.add", "input": {"x": 1}}"#;

#[tokio::test]
async fn who_brings_no_key_that_is_valid_is_told_how() {
    let served = Served::start(ServerSettings::default());
    let nobody = Request::post("/v1/runs").body(Body::from(SUBMIT)).unwrap();
    let answer = served.ask(nobody).await;
    assert_eq!(answer.headers["www-authenticate"], "Api-Key");
    assert_snapshot!(answer.problem(), @r#"
    {
      "type": "urn:ziet:problem:key_missing",
      "title": "API key missing",
      "status": 401,
      "detail": "send the header `Authorization: Api-Key sk_…` (the first key stands in the server's state folder)",
      "code": "key_missing"
    }
    "#);
    assert_snapshot!(served.post("sk_unknown", "/v1/runs", SUBMIT).await.problem(), @r#"
    {
      "type": "urn:ziet:problem:key_invalid",
      "title": "API key not valid",
      "status": 401,
      "detail": "there is no such API key, or it was revoked",
      "code": "key_invalid"
    }
    "#);
    let bearer = Request::get("/metrics").header("authorization", "Basic abc");
    assert_eq!(
        served.ask(bearer.body(Body::empty()).unwrap()).await.code(),
        "key_missing"
    );
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_in_its_own_project() {
    let served = Served::start(ServerSettings::default());
    let reader = served.key(Some("shop"), &[Scope::Read]).await;
    assert_snapshot!(served.post(&reader, "/v1/runs", SUBMIT).await.problem(), @r#"
    {
      "type": "urn:ziet:problem:scope_missing",
      "title": "Scope missing",
      "status": 403,
      "detail": "this needs a key with the scope `run`",
      "code": "scope_missing"
    }
    "#);
    assert_eq!(served.get(&reader, "/metrics").await.status, StatusCode::OK);

    let runner = served.key(Some("shop"), &[Scope::Run]).await;
    assert_eq!(
        served.post(&runner, "/v1/runs", SUBMIT).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(
        served.get(&runner, "/metrics").await.code(),
        "scope_missing"
    );

    let other = served.key(Some("other"), &[Scope::Admin]).await;
    assert_eq!(
        served.post(&other, "/v1/runs", SUBMIT).await.code(),
        "project_not_found"
    );

    let named = |key: &str, project: &str| {
        let mut request = request(Method::POST, "/v1/runs", key, SUBMIT);
        request
            .headers_mut()
            .insert("ziet-project", project.parse().unwrap());
        request
    };
    assert_snapshot!(served.ask(named(&runner, "other")).await.problem(), @r#"
    {
      "type": "urn:ziet:problem:wrong_project",
      "title": "Key of another project",
      "status": 403,
      "detail": "the key belongs to the project shop, not to \"other\"",
      "code": "wrong_project"
    }
    "#);
    let everywhere = served.key(None, &[Scope::Admin]).await;
    assert_eq!(
        served.ask(named(&everywhere, "shop")).await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(
        served.ask(named(&everywhere, "other")).await.code(),
        "project_not_found"
    );
    // There is only one that could be meant.
    assert_eq!(
        served.post(&everywhere, "/v1/runs", SUBMIT).await.status,
        StatusCode::ACCEPTED
    );
}

#[tokio::test]
async fn figures_are_public_where_the_settings_say_so() {
    let settings = ServerSettings {
        public_metrics: true,
        ..ServerSettings::default()
    };
    let served = Served::start(settings);
    let answer = served
        .ask(Request::get("/metrics").body(Body::empty()).unwrap())
        .await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    assert!(
        text.contains("\nziet_runs_queued{project=\"shop\"} 0\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_request_under_a_name_that_is_not_the_servers_is_refused() {
    let settings = ServerSettings {
        hosts: vec!["ziet.example".to_owned()],
        ..ServerSettings::default()
    };
    let served = Served::start(settings);
    let named = async |host: &str| {
        let request = Request::get("/healthz").header("host", host);
        served.ask(request.body(Body::empty()).unwrap()).await
    };
    for own in [
        "localhost:7878",
        "127.0.0.1",
        "[::1]:7878",
        "10.0.0.7:80",
        "Ziet.Example",
    ] {
        assert_eq!(named(own).await.status, StatusCode::OK, "{own}");
    }
    for other in ["evil.example", "localhost.evil.example:7878", "", "a b"] {
        assert_eq!(
            named(other).await.status,
            StatusCode::MISDIRECTED_REQUEST,
            "{other}"
        );
    }
    assert_snapshot!(named("evil.example").await.problem(), @r#"
    {
      "type": "urn:ziet:problem:host_not_allowed",
      "title": "Host not allowed",
      "status": 421,
      "detail": "the server does not answer to the name in the header `Host`; start it with `--host NAME` if that is its name",
      "code": "host_not_allowed"
    }
    "#);
}
