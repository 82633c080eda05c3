//! Several versions of a project's code in one engine: which of them executes what, and what becomes of one that does not work.

use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use ziet_core::deployment::DeploymentStatus;
use ziet_core::retry::Backoff;
use ziet_core::run::Status;
use ziet_core::{Catalogue, DeploymentId, Failure, ProjectId, RunId, Time};
use ziet_engine::{Deployed, EngineSettings, Notice};
use ziet_store::deployments::{self, DeploymentRecord};

use crate::stage::{Running, Stage, answered, worker_in};

const CODE: &str = r#"
import os
import socket

from ziet import Action

GREETING = os.environ.get("GREETING")


@Action(description="Says which version it is")
def version() -> list[str | None]:
    return [VERSION, GREETING, os.environ.get("GREETING")]


@Action(description="Waits until the port lets it go on")
def hold(port: int, file: str) -> list[str | None]:
    with socket.create_connection(("127.0.0.1", port)) as gate:
        gate.recv(1)
    return version()
"#;

/// A version of the project, as it would lie in a folder of its own.
struct Version {
    id: DeploymentId,
    folder: TempDir,
}

impl Version {
    fn new(name: &str) -> Self {
        Self::of(&format!("VERSION = {name:?}\n{CODE}"))
    }

    fn of(code: &str) -> Self {
        let version = Self {
            id: DeploymentId::new(Time::from_millis(1_700_000_000_000)),
            folder: tempfile::tempdir().unwrap(),
        };
        version.write(code);
        version
    }

    fn write(&self, code: &str) {
        fs_err::write(self.folder.path().join("actions.py"), code).unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn deployed(&self) -> Deployed {
        Deployed {
            backoff: Backoff::None,
            ..Deployed::new(self.id, worker_in(self.path()), 2)
        }
    }

    fn record(&self) -> DeploymentRecord {
        DeploymentRecord {
            id: self.id,
            version: "v".to_owned(),
            digest: None,
            status: DeploymentStatus::Ready,
            source: String::new(),
            built: None,
            error: None,
            created_by: None,
            created_at: Time::from_millis(0),
            active_since: None,
        }
    }
}

fn settings(versions: &[&Version]) -> EngineSettings {
    let deployed = versions.iter().map(|version| version.deployed());
    EngineSettings::new(ProjectId::new("shop"), deployed.collect())
}

impl Running {
    fn deploy(&self, version: &Version) -> Result<Catalogue, Box<Failure>> {
        let found: Result<_, Failure> = answered(|answer| {
            self.engine
                .deploy(version.deployed(), move |found| answer.send(found).unwrap());
        });
        found.map_err(Box::new)
    }

    /// Keeps the version in the store, and makes it the active one.
    fn activate(&self, version: &Version) -> bool {
        let (project, record) = (ProjectId::new("shop"), version.record());
        let kept = self.store.write_now(async move |tx| {
            match deployments::find(tx, &project, record.id).await? {
                Some(_) => Ok(()),
                None => deployments::insert(tx, &project, &record).await,
            }
        });
        kept.unwrap();
        let activated = answered(|answer| {
            self.engine
                .activate(version.id, move |done| answer.send(done).unwrap());
        });
        activated.unwrap()
    }

    fn replace(&self, version: &Version, greeting: &str) -> Result<Catalogue, Box<Failure>> {
        let mut worker = worker_in(version.path());
        worker.environment = vec![("GREETING".to_owned(), greeting.to_owned())];
        let found: Result<_, Failure> = answered(|answer| {
            self.engine
                .replace(version.id, worker, move |found| answer.send(found).unwrap());
        });
        found.map_err(Box::new)
    }

    /// What the version said of itself that has executed the run.
    fn said(&self, run: RunId) -> String {
        let document = self.completed(run);
        document.output.unwrap().as_str().unwrap().to_owned()
    }

    fn versions(&self, runs: Vec<RunId>) -> Vec<String> {
        runs.into_iter().map(|run| self.said(run)).collect()
    }

    fn several(&self) -> Vec<RunId> {
        (0..4).map(|_| self.submit("version", "{}")).collect()
    }
}

const ONE: &str = r#"["one",null,null]"#;
const TWO: &str = r#"["two",null,null]"#;

#[test]
fn runs_and_what_they_call_are_executed_by_the_version_that_has_accepted_them() {
    let stage = Stage::new();
    let (one, two) = (Version::new("one"), Version::new("two"));
    let running = stage.start_on(settings(&[&one]));
    running.loaded();
    assert!(running.activate(&one));
    // Two are executed, so all others wait.
    let held = [(); 2].map(|()| running.submit("hold", &stage.held()));
    let gates = [(); 2].map(|()| stage.reached());
    let old = running.several();
    running.deploy(&two).unwrap();
    let still_old = running.several();
    assert!(running.activate(&two));
    assert_eq!(running.engine.active(), Some(two.id));
    let new = running.several();
    drop(gates);
    // What they call when they go on is of their own version.
    assert_eq!(running.versions(held.to_vec()), [ONE; 2]);
    assert_eq!(running.versions(old), [ONE; 4]);
    assert_eq!(running.versions(still_old), [ONE; 4]);
    assert_eq!(running.versions(new.clone()), [TWO; 4]);
    let named = new.iter().map(|run| running.document(*run).deployment_id);
    assert!(named.into_iter().all(|named| named == Some(two.id)));
    assert!(running.activate(&one), "it is known");
    assert_eq!(running.said(running.submit("version", "{}")), ONE);
}

#[test]
fn what_does_not_work_changes_nothing() {
    let stage = Stage::new();
    let (one, unused) = (Version::new("one"), Version::new("unused"));
    let running = stage.start_on(settings(&[&one]));
    running.loaded();
    let broken = Version::of("import ziet\n\n1 / 0\n");
    let failure = running.deploy(&broken).unwrap_err();
    let traceback = failure.traceback.unwrap();
    let place = format!("{}\", line 3", broken.path().join("actions.py").display());
    assert!(traceback.contains(&place), "{traceback}");
    let none = running.deploy(&Version::of("import ziet\n")).unwrap_err();
    assert!(none.message.contains("no actions"), "{none:?}");
    assert!(!running.activate(&broken) && !running.activate(&unused));
    assert_eq!(running.engine.active(), Some(one.id));
    assert_eq!(running.said(running.submit("version", "{}")), ONE);
    // Of one that works, a next state that does not is as good as none.
    let before = one.path().join("actions.py");
    let code = fs_err::read_to_string(&before).unwrap();
    one.write("this is no Python");
    running.replace(&one, "new").unwrap_err();
    assert_eq!(running.said(running.submit("version", "{}")), ONE);
    one.write(&code);
    running.replace(&one, "new").unwrap();
    let new = r#"["one","new","new"]"#;
    assert_eq!(running.said(running.submit("version", "{}")), new);
}

#[test]
fn an_attempt_under_way_ends_in_the_process_that_was_replaced() {
    let stage = Stage::new();
    let one = Version::new("one");
    let running = stage.start_on(settings(&[&one]));
    running.loaded();
    running.replace(&one, "first").unwrap();
    let held = running.submit("hold", &stage.held());
    let gate = stage.reached();
    running.replace(&one, "second").unwrap();
    let second = r#"["one","second","second"]"#;
    assert_eq!(running.said(running.submit("version", "{}")), second);
    assert_eq!(running.status(held), Status::Running);
    drop(gate);
    // What it calls is executed by the new one.
    assert_eq!(running.said(held), second);
    // Those of the old one are gone, and so is it.
    while running.figures().executors > 1 {
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn an_engine_that_knows_the_actions_accepts_runs_at_once_and_executes_old_ones_as_before() {
    let stage = Stage::new();
    let (one, two) = (Version::new("one"), Version::new("two"));
    let running = stage.start_on(settings(&[&one]));
    running.loaded();
    assert!(running.activate(&one));
    let held = [(); 2].map(|()| running.submit("hold", &stage.held()));
    let gates = [(); 2].map(|()| stage.reached());
    let old = running.several();
    let known = running.deploy(&two).unwrap();
    assert!(running.activate(&two));
    drop(running);
    drop(gates);

    let mut known_before = settings(&[&two, &one]);
    known_before.deployed[0].catalogue = Some(known);
    let running = stage.start_on(known_before);
    assert!(
        running.engine.catalogue().is_some(),
        "nothing is waited for"
    );
    let new = running.several();
    // Those that were being executed come first.
    let gates = [(); 2].map(|()| stage.reached());
    drop(gates);
    assert_eq!(running.versions(new), [TWO; 4]);
    assert_eq!(running.versions(old), [ONE; 4]);
    assert_eq!(running.versions(held.to_vec()), [ONE; 2]);
}

#[test]
fn runs_of_a_version_that_cannot_be_imported_wait_and_hold_up_nobody() {
    let stage = Stage::new();
    let (one, two) = (Version::new("one"), Version::new("two"));
    let running = stage.start_on(settings(&[&one]));
    running.loaded();
    assert!(running.activate(&one));
    let held = [(); 2].map(|()| running.submit("hold", &stage.held()));
    let gates = [(); 2].map(|()| stage.reached());
    let old = running.several();
    drop(running);
    drop(gates);
    let code = fs_err::read_to_string(one.path().join("actions.py")).unwrap();
    one.write("raise RuntimeError('away')");

    let running = stage.start_on(settings(&[&two, &one]));
    running.loaded();
    assert!(running.activate(&two));
    let failed = running.until(|notice| match notice {
        Notice::ImportFailed {
            deployment,
            failure,
            ..
        } => Some((deployment, failure)),
        _ => None,
    });
    assert_eq!(failed.0, one.id);
    assert!(!running.figures().import_failing, "the active one is sound");
    let new = running.several();
    assert_eq!(running.versions(new), [TWO; 4]);
    assert!(old.iter().all(|run| running.status(*run) == Status::Queued));
    one.write(&code);
    let gates = [(); 2].map(|()| stage.reached());
    drop(gates);
    assert_eq!(running.versions(old), [ONE; 4]);
    assert_eq!(running.versions(held.to_vec()), [ONE; 2]);
}

#[test]
fn the_first_deployment_comes_into_an_engine_that_has_none() {
    let stage = Stage::new();
    let one = Version::new("one");
    let running = stage.start_on(settings(&[]));
    let early = crate::stage::submission("version", "{}");
    running.accept(early).unwrap_err();
    running.deploy(&one).unwrap();
    assert!(running.activate(&one));
    assert_eq!(running.said(running.submit("version", "{}")), ONE);
}
