//! Live answers: they tell what is stored, go on where a reader was, and end when there is no more.

use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::timeout;
use ziet_core::Scope;
use ziet_server::ServerSettings;

use crate::served::{Served, request};

const PATIENCE: Duration = Duration::from_secs(30);

/// Less than the time after which a live answer looks at the store by itself.
const UNTOLD: Duration = Duration::from_secs(10);

/// An answer that comes event by event.
struct Stream {
    body: Body,
    text: String,
}

#[derive(Debug, Default, PartialEq)]
struct Event {
    id: String,
    name: String,
    document: Value,
}

impl Stream {
    async fn open(served: &Served, key: &str, path: &str, last: Option<&str>) -> Self {
        let mut request = request(Method::GET, path, key, Body::empty());
        request
            .headers_mut()
            .insert("accept", "text/event-stream".parse().unwrap());
        if let Some(last) = last {
            request
                .headers_mut()
                .insert("last-event-id", last.parse().unwrap());
        }
        let response = served.respond(request).await;
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body(),
            text: String::new(),
        }
    }

    /// The next event; None at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (read(event), rest.to_owned());
                self.text = rest;
                return Some(event);
            }
            let frame = timeout(PATIENCE, self.body.frame())
                .await
                .expect("an event comes")?;
            let bytes = frame.unwrap().into_data().unwrap();
            self.text += std::str::from_utf8(&bytes).unwrap();
        }
    }

    /// Goes on to an event of which that is so, before anybody looks without having been told to.
    async fn until(&mut self, is_so: impl Fn(&Event) -> bool) -> Event {
        let found = async {
            loop {
                let event = self.next().await.expect("there is more to come");
                if is_so(&event) {
                    return event;
                }
            }
        };
        timeout(UNTOLD, found).await.expect("it is told")
    }

    async fn status(&mut self, status: &str) -> Event {
        self.until(|event| event.document["status"] == status).await
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn read(text: &str) -> Event {
    let mut event = Event::default();
    for line in text.lines() {
        match line.split_once(": ").unwrap() {
            ("id", id) => id.clone_into(&mut event.id),
            ("event", name) => name.clone_into(&mut event.name),
            ("data", data) => event.document = serde_json::from_str(data).unwrap(),
            other => panic!("{other:?}"),
        }
    }
    event
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

async fn served() -> (Served, String) {
    let served = Served::start(ServerSettings::default());
    let key = served.key(Some("shop"), &[Scope::Admin]).await;
    (served, key)
}

/// A run that is not started yet.
async fn created(served: &Served, key: &str, action: &str, input: Value) -> String {
    let body = json!({"action_id": action, "input": input, "start": false}).to_string();
    served.post(key, "/v1/runs", body).await.json()["id"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_run_is_told_as_it_changes_until_it_has_finished() {
    let (served, key) = served().await;
    let run = created(&served, &key, "actions.talk", json!({"words": "one two"})).await;
    let mut stream = Stream::open(&served, &key, &format!("/v1/runs/{run}"), None).await;
    assert_eq!(stream.next().await.unwrap().document["status"], "created");
    served
        .post(&key, &format!("/v1/runs/{run}/invoke"), "")
        .await;
    let events = stream.rest().await;
    let [.., last, end] = &*events else {
        panic!("{events:?}")
    };
    assert_eq!(
        (last.document["status"].as_str(), end.name.as_str()),
        (Some("completed"), "end")
    );

    let again = Stream::open(&served, &key, &format!("/v1/runs/{run}"), Some(&last.id)).await;
    assert_eq!(names(&again.rest().await), ["end"]);
}

#[tokio::test]
async fn every_state_of_a_run_and_of_what_it_calls_is_told_at_once() {
    let (served, key) = served().await;
    let folder = tempfile::tempdir().unwrap();
    let gate = |name: &str| folder.path().join(name).display().to_string();
    let open = |name: &str| std::fs::write(gate(name), "").unwrap();
    let executing = "/v1/runs?status=running";
    let mut others = Stream::open(&served, &key, executing, None).await;
    for _ in 0..4 {
        let input = json!({"gate": gate("others")});
        let other = created(&served, &key, "actions.stop", input).await;
        let invoke = format!("/v1/runs/{other}/invoke");
        served.post(&key, &invoke, "").await;
        others
            .until(|event| event.name == "run" && event.document["id"] == *other)
            .await;
    }
    let gates = json!({"gates": [gate("first"), gate("child"), gate("last")]});
    let run = created(&served, &key, "actions.call", gates).await;
    let mut stream = Stream::open(&served, &key, &format!("/v1/runs/{run}"), None).await;
    let below = format!("/v1/runs?parent={run}");
    let mut children = Stream::open(&served, &key, &below, None).await;
    let invoke = format!("/v1/runs/{run}/invoke");
    served.post(&key, &invoke, "").await;
    stream.status("queued").await;
    open("others");
    stream.status("running").await;
    open("first");
    stream.status("waiting").await;
    children.status("running").await;
    open("child");
    children.status("completed").await;
    stream.status("running").await;
    open("last");
    stream.status("completed").await;
}

#[tokio::test]
async fn lines_and_events_are_told_as_they_are_stored_and_none_is_told_twice() {
    let (served, key) = served().await;
    let run = created(
        &served,
        &key,
        "actions.talk",
        json!({"words": "one two three"}),
    )
    .await;
    let logs = format!("/v1/runs/{run}/logs");
    let events = format!("/v1/runs/{run}/events");
    let lines = Stream::open(&served, &key, &logs, None).await;
    let mut happened = Stream::open(&served, &key, &events, None).await;
    assert_eq!(happened.next().await.unwrap().name, "created");
    served
        .post(&key, &format!("/v1/runs/{run}/invoke"), "")
        .await;

    let lines = lines.rest().await;
    assert_eq!(names(&lines), ["log", "log", "log", "log", "end"]);
    assert_eq!(lines[1].document["text"], "two");
    let rest = Stream::open(&served, &key, &logs, Some(&lines[1].id))
        .await
        .rest()
        .await;
    assert_eq!(rest, lines[2..]);

    let happened = happened.rest().await;
    assert_eq!(
        names(&happened),
        ["attempt_started", "attempt_finished", "completed", "end"]
    );
    let rest = Stream::open(&served, &key, &events, Some(&happened[0].id))
        .await
        .rest()
        .await;
    assert_eq!(rest, happened[1..]);
}

#[tokio::test]
async fn a_list_begins_with_a_page_and_goes_on_with_what_changes() {
    let (served, key) = served().await;
    let path = "/v1/runs?status=created&limit=5";
    let first = created(&served, &key, "actions.add", json!({"x": 1})).await;
    let mut stream = Stream::open(&served, &key, path, None).await;
    let snapshot = stream.next().await.unwrap();
    assert_eq!(snapshot.name, "snapshot");
    assert_eq!(snapshot.document["data"][0]["id"], *first);

    served
        .post(&key, &format!("/v1/runs/{first}/invoke?wait=60"), "")
        .await;
    let gone = stream.next().await.unwrap();
    assert_eq!(
        (gone.name.as_str(), &gone.document["id"]),
        ("gone", &json!(first))
    );
    drop(stream);

    // Nobody follows for a moment; the next one is told what came meanwhile.
    let other = created(&served, &key, "actions.add", json!({"x": 2})).await;
    served
        .post(&key, &format!("/v1/runs/{other}/cancel"), "")
        .await;
    let mut stream = Stream::open(&served, &key, path, Some(&snapshot.id)).await;
    let mut told = Vec::new();
    while !told.contains(&other) {
        let event = stream.next().await.unwrap();
        assert_eq!(event.name, "gone");
        told.push(event.document["id"].as_str().unwrap().to_owned());
    }
    // A place that nobody gave is that of another server: its reader begins anew.
    let mut stream = Stream::open(&served, &key, path, Some("1.1")).await;
    assert_eq!(stream.next().await.unwrap().name, "snapshot");
}

#[tokio::test]
async fn all_that_is_live_ends_with_the_server() {
    let (served, key) = served().await;
    let run = created(&served, &key, "actions.add", json!({"x": 1})).await;
    let mut streams = Vec::new();
    for below in [
        "",
        &format!("/{run}"),
        &format!("/{run}/logs"),
        &format!("/{run}/events"),
    ] {
        streams.push(Stream::open(&served, &key, &format!("/v1/runs{below}"), None).await);
    }
    served.hints.close();
    for stream in streams {
        assert!(!names(&stream.rest().await).contains(&"end"));
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused_and_not_streamed() {
    let (served, key) = served().await;
    for (path, last, code) in [
        (
            "/v1/runs/0198f2c1-7a3e-7b10-8c55-3f9d2a6e1b04",
            "",
            "run_not_found",
        ),
        ("/v1/runs", "x", "invalid_cursor"),
    ] {
        let mut request = request(Method::GET, path, &key, Body::empty());
        request.headers_mut().insert(
            "accept",
            "application/json;q=0.5, text/event-stream".parse().unwrap(),
        );
        request
            .headers_mut()
            .insert("last-event-id", last.parse().unwrap());
        assert_eq!(served.ask(request).await.code(), code);
    }
}
