//! A server over a real engine with a real project, asked in this process.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, Response, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;
use ziet_core::wire::StartMethod;
use ziet_core::{KeyId, ProjectId, Scope, Time};
use ziet_engine::{Deployed, Engine, EngineSettings, Figures, Notice};
use ziet_server::{Hints, NewKey, Platform, ServerSettings, router};
use ziet_store::keys::KeyRecord;
use ziet_store::{Durability, Location, Store, keys};
use ziet_worker::python::{self, Python};
use ziet_worker::{PoolSettings, Project, WorkerSettings};

const ACTIONS: &str = r#"
import logging
import os
import time
from datetime import date

from ziet import Action, memory


@Action(description="Adds two numbers", retries=0)
def add(x: int, y: int = 1) -> int:
    return x + y


@Action(description="Takes several things", retries=0)
def book(day: date, seats: int | None = None, name: str = "") -> str:
    return f"{day} {seats} {name}"


@Action(description="Says what it was given, as it came", retries=0)
def echo(value: dict) -> dict:
    return value


@Action(description="Takes its time", retries=0)
def rest(seconds: float) -> None:
    time.sleep(seconds)


def passed(gate: str) -> None:
    while not os.path.exists(gate):
        time.sleep(0.01)


@Action(description="Waits at a gate", retries=0)
def stop(gate: str) -> None:
    passed(gate)


@Action(description="Waits at three gates, at the second one in a child run", retries=0)
def call(gates: list[str]) -> None:
    passed(gates[0])
    stop(gates[1])
    passed(gates[2])


@Action(description="Fails", retries=0)
def fail() -> None:
    raise ValueError("no")


@Action(description="Fails whatever is tried", retries=1)
def insist() -> None:
    raise ValueError("no")


@Action(description="Says words, and remembers them", retries=0)
def talk(words: str) -> None:
    for word in words.split():
        print(word)
        memory.add("word", word, metadata={"letters": len(word)})
    logging.getLogger("shop").warning("mind")
"#;

/// How long anything may take that is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct Served {
    pub(crate) platform: Arc<Platform>,
    pub(crate) store: Store,
    pub(crate) hints: Hints,
    router: Router,
    engine: Arc<Engine>,
    _project: tempfile::TempDir,
}

/// An answer, read to its end.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Served {
    /// Starts the engine and waits for the import.
    pub(crate) fn start(settings: ServerSettings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("actions.py"), ACTIONS).unwrap();
        let store = Store::open(&Location::Memory, Durability::Full).unwrap();
        let hints = Hints::default();
        let (load, loaded) = channel();
        let told = hints.clone();
        let worker = worker(folder.path());
        let engine = Engine::start(
            EngineSettings::local(Deployed::local(worker, 4)),
            store.clone(),
            move |notice| {
                told.on_notice(&notice);
                if let Notice::Loaded(catalogue) = notice {
                    assert!(catalogue.problems.is_empty(), "{:?}", catalogue.problems);
                    let _ = load.send(());
                }
            },
        );
        loaded.recv_timeout(PATIENCE).unwrap();
        let engine = Arc::new(engine.unwrap());
        let platform = Platform::new(store.clone(), hints.clone(), settings, None);
        platform.add(ProjectId::new("shop"), Arc::clone(&engine), None);
        Self {
            router: router(Arc::clone(&platform)),
            platform,
            store,
            hints,
            engine,
            _project: folder,
        }
    }

    pub(crate) fn figures(&self) -> Figures {
        self.engine.figures()
    }

    /// Has the engine's thread stand still until what is returned is dropped.
    pub(crate) fn hang(&self) -> Sender<()> {
        let (release, gate) = channel();
        self.engine.turn(move || {
            let _ = gate.recv();
        });
        release
    }

    /// Makes a key that counts at once.
    pub(crate) async fn key(&self, project: Option<&str>, scopes: &[Scope]) -> String {
        let key = NewKey::random().unwrap();
        let record = KeyRecord {
            id: KeyId::new(Time::from_millis(1_700_000_000_000)),
            project: project.map(ProjectId::new),
            name: "tests".to_owned(),
            scopes: scopes.to_vec(),
            hash: key.hash,
            prefix: key.prefix,
            created_at: Time::from_millis(1_700_000_000_000),
            last_used_at: None,
            revoked_at: None,
        };
        self.store
            .write_now(async move |tx| keys::create(tx, &record).await)
            .unwrap();
        self.platform.load_keys().await.unwrap();
        key.text
    }

    /// An answer that is not read yet.
    pub(crate) async fn respond(&self, request: Request<Body>) -> Response<Body> {
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(crate) async fn ask(&self, request: Request<Body>) -> Answer {
        let response = self.respond(request).await;
        let (parts, body) = response.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    pub(crate) async fn post(&self, key: &str, path: &str, body: impl Into<Body>) -> Answer {
        self.ask(request(Method::POST, path, key, body)).await
    }

    pub(crate) async fn get(&self, key: &str, path: &str) -> Answer {
        self.ask(request(Method::GET, path, key, Body::empty()))
            .await
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    /// The code of the problem.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The problem as a reader sees it, but for the id of its request.
    pub(crate) fn problem(&self) -> String {
        assert_eq!(
            self.headers[header::CONTENT_TYPE],
            "application/problem+json"
        );
        let mut problem = self.json();
        assert_eq!(
            problem["request_id"],
            self.headers["x-request-id"].to_str().unwrap()
        );
        assert_eq!(problem["status"], self.status.as_u16());
        problem.as_object_mut().unwrap().shift_remove("request_id");
        serde_json::to_string_pretty(&problem).unwrap()
    }
}

pub(crate) fn request(
    method: Method,
    path: &str,
    key: &str,
    body: impl Into<Body>,
) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::AUTHORIZATION, format!("Api-Key {key}"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.into())
        .unwrap()
}

fn worker(project: &Path) -> WorkerSettings {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    WorkerSettings {
        python: python_with_what_it_needs(&repository),
        sdk: Some(repository.join("python").canonicalize().unwrap()),
        project: Project::new("shop", project, Some(vec!["actions".to_owned()])).unwrap(),
        describe: true,
        start: StartMethod::Fork,
        sandbox: false,
        without: Vec::new(),
        pool: PoolSettings {
            spare: 0,
            attempts: 1000,
            growth_bytes: 1 << 30,
            idle: Duration::from_secs(60),
        },
        environment: Vec::new(),
    }
}

/// The one of the environment that is active, else the one that `make build` leaves in the repository.
#[expect(clippy::disallowed_methods, reason = "a test has no settings")]
fn python_with_what_it_needs(repository: &Path) -> Python {
    let active = std::env::var_os("VIRTUAL_ENV");
    let built = repository.join(".venv");
    let environment = active.unwrap_or_else(|| built.into_os_string());
    python::find(Path::new("/nowhere/ziet"), Some(&environment), None)
        .expect("`make build` makes .venv, which these tests need")
}
