//! Which versions of the project's code there are, and the workers that execute them.
//!
//! One deployment is the active one: new runs are its. Others have a worker only while runs of theirs need one. A worker that is
//! tried, because a version or its environment is new, executes nothing before its import has succeeded; one that was
//! replaced executes what it has begun.

use std::sync::Arc;

use mio::{Registry, Token};
use ziet_core::action::Isolation;
use ziet_core::error::{ErrorCode, Failure};
use ziet_core::retry::Backoff;
use ziet_core::{Catalogue, DeploymentId};
use ziet_store::{StoreError, deployments};
use ziet_worker::{ExecutorId, Worker, WorkerError, WorkerEvent, WorkerSettings};

use crate::answer::{Done, Refusal};
use crate::clock::EngineClock;
use crate::import::{ImportFailure, failure_of};
use crate::settings::Deployed;
use crate::turn::Scheduler;

/// One version of the project's code.
pub(crate) struct Deployment {
    pub(crate) id: DeploymentId,
    /// What its next worker is started with.
    settings: WorkerSettings,
    pub(crate) backoff: Backoff,
    pub(crate) locals: bool,
    concurrency: usize,
    /// What its last import found; None while the first one goes on, or there was none.
    pub(crate) catalogue: Option<Arc<Catalogue>>,
    /// Why it could not be imported again, until there is an executor of it.
    pub(crate) import_failure: Option<ImportFailure>,
    /// The number of its worker, where it has one.
    worker: Option<u32>,
}

impl From<Deployed> for Deployment {
    fn from(deployed: Deployed) -> Self {
        Self {
            id: deployed.id,
            settings: deployed.worker,
            backoff: deployed.backoff,
            locals: deployed.locals,
            concurrency: deployed.concurrency,
            catalogue: deployed.catalogue.map(Arc::new),
            import_failure: None,
            worker: None,
        }
    }
}

/// A worker, and what it is for.
struct Hand {
    worker: Worker,
    deployment: DeploymentId,
    part: Part,
}

enum Part {
    /// It executes the runs of its deployment.
    Serves,
    /// It does so once its import has succeeded.
    Tried(Box<Trial>),
    /// It ends when the attempts that it executes have ended.
    Leaves,
}

/// Somebody waits to hear what an import finds.
struct Trial {
    deployed: Deployed,
    done: Vec<Imported>,
}

/// Is told what an import has found, or why it failed.
pub(crate) type Imported = Done<Result<Catalogue, Failure>>;

pub(crate) struct Deployments {
    /// The active one first.
    known: Vec<Deployment>,
    hands: Vec<Hand>,
    registry: Registry,
    /// The number of the next worker.
    next: u32,
    /// Whether it is told what holds the project's code.
    told: bool,
}

impl Deployments {
    /// The first is the active one; its import begins at once.
    ///
    /// # Errors
    /// When its worker cannot be started, and nothing is known of it that could be tried again.
    pub(crate) fn new(
        deployed: Vec<Deployed>,
        registry: Registry,
        clock: &EngineClock,
    ) -> Result<Self, WorkerError> {
        let mut deployments = Self {
            known: deployed.into_iter().map(Deployment::from).collect(),
            hands: Vec::new(),
            registry,
            next: 0,
            told: false,
        };
        if let Some(active) = deployments.active().map(|active| active.id) {
            let started = deployments.worker_for(active, clock).map(drop);
            if deployments.known[0].catalogue.is_none() {
                started?;
            }
        }
        Ok(deployments)
    }

    pub(crate) fn active(&self) -> Option<&Deployment> {
        self.known.first()
    }

    pub(crate) fn is_active(&self, id: DeploymentId) -> bool {
        self.active().is_some_and(|active| active.id == id)
    }

    /// Attempts that may execute at the same time.
    pub(crate) fn concurrency(&self) -> usize {
        self.active().map_or(0, |active| active.concurrency)
    }

    pub(crate) fn get(&self, id: DeploymentId) -> Option<&Deployment> {
        self.known.iter().find(|one| one.id == id)
    }

    pub(crate) fn get_mut(&mut self, id: DeploymentId) -> Option<&mut Deployment> {
        self.known.iter_mut().find(|one| one.id == id)
    }

    /// Why a deployment could not be imported again, if that is so.
    pub(crate) fn failure(&mut self, id: DeploymentId) -> Option<&mut ImportFailure> {
        self.get_mut(id)?.import_failure.as_mut()
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Deployment> {
        self.known.iter()
    }

    pub(crate) fn all_mut(&mut self) -> impl Iterator<Item = &mut Deployment> {
        self.known.iter_mut()
    }

    /// The deployment that executes runs of this one: the active one where it is not known. None while nothing is deployed.
    pub(crate) fn home(&self, id: DeploymentId) -> Option<DeploymentId> {
        let known = self.get(id).or_else(|| self.active());
        known.map(|known| known.id)
    }

    /// The worker that an executor belongs to, unless that is gone.
    pub(crate) fn of(&mut self, executor: ExecutorId) -> Option<&mut Worker> {
        self.numbered(executor.worker())
    }

    fn numbered(&mut self, number: u32) -> Option<&mut Worker> {
        let mut hands = self.hands.iter_mut();
        let hand = hands.find(|hand| hand.worker.number() == number)?;
        Some(&mut hand.worker)
    }

    /// The worker of a deployment, if it has one.
    pub(crate) fn worker(&mut self, id: DeploymentId) -> Option<&mut Worker> {
        let number = self.get(id)?.worker?;
        self.numbered(number)
    }

    /// The worker of a deployment, which is started where it has none. None where there is no such deployment.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) fn worker_for(
        &mut self,
        id: DeploymentId,
        clock: &EngineClock,
    ) -> Result<Option<&mut Worker>, WorkerError> {
        let Some(deployment) = self.get(id) else {
            return Ok(None);
        };
        if deployment.worker.is_none() {
            let settings = deployment.settings.clone();
            let number = self.start(settings, id, Part::Serves, clock)?;
            if let Some(deployment) = self.get_mut(id) {
                deployment.worker = Some(number);
            }
        }
        Ok(self.worker(id))
    }

    fn start(
        &mut self,
        settings: WorkerSettings,
        deployment: DeploymentId,
        part: Part,
        clock: &EngineClock,
    ) -> Result<u32, WorkerError> {
        let registry = self.registry.try_clone().map_err(WorkerError::Folder)?;
        let number = self.next;
        self.next += 1;
        let worker = Worker::start(settings, number, registry, clock.instant())?;
        self.hands.push(Hand {
            worker,
            deployment,
            part,
        });
        Ok(number)
    }

    /// An idle executor of the deployment.
    pub(crate) fn take(&mut self, id: DeploymentId, isolation: Isolation) -> Option<ExecutorId> {
        self.worker(id)?.take(isolation)
    }

    pub(crate) fn workers(&mut self) -> impl Iterator<Item = &mut Worker> {
        self.hands.iter_mut().map(|hand| &mut hand.worker)
    }

    pub(crate) fn on_ready(&mut self, token: Token) {
        // One that is gone has left nothing to read.
        if let Some(worker) = self.numbered(Worker::of(token)) {
            worker.on_ready(token);
        }
    }

    /// How many workers there are, by whose places they are gone through.
    pub(crate) fn places(&self) -> usize {
        self.hands.len()
    }

    /// What the worker in a place tells next.
    pub(crate) fn next_event(&mut self, place: usize) -> Option<WorkerEvent> {
        self.hands.get_mut(place)?.worker.next_event()
    }

    /// The deployment that the worker in a place serves; None where it is only tried, or leaves.
    pub(crate) fn serves(&self, place: usize) -> Option<DeploymentId> {
        let hand = self.hands.get(place)?;
        matches!(hand.part, Part::Serves).then_some(hand.deployment)
    }

    /// The number of the worker in a place.
    pub(crate) fn number(&self, place: usize) -> Option<u32> {
        self.hands.get(place).map(|hand| hand.worker.number())
    }

    /// Whether it has been told what holds the project's code, which it is from here on.
    pub(crate) fn is_told(&mut self) -> bool {
        std::mem::replace(&mut self.told, true)
    }

    /// Processes that are there for attempts.
    pub(crate) fn executors(&self) -> usize {
        let executors = self.hands.iter().map(|hand| hand.worker.executors());
        executors.sum()
    }

    /// Ends those that nothing is to be done by any more, and forgets those that have ended; `busy` says whose executors are in
    /// an attempt.
    pub(crate) fn part_with_idle(&mut self, busy: impl Fn(u32) -> bool) {
        let Some(active) = self.active().map(|active| active.id) else {
            return;
        };
        for place in (0..self.hands.len()).rev() {
            let hand = &mut self.hands[place];
            let number = hand.worker.number();
            let leaves = match hand.part {
                Part::Serves if hand.deployment == active => continue,
                Part::Tried(_) => continue,
                Part::Serves => false,
                Part::Leaves => true,
            };
            if busy(number) {
                continue;
            }
            if leaves {
                hand.worker.dismiss();
            }
            if hand.worker.is_gone() {
                let gone = self.hands.swap_remove(place);
                if let Some(deployment) = self.get_mut(gone.deployment)
                    && deployment.worker == Some(number)
                {
                    deployment.worker = None;
                }
            }
        }
    }

    /// Ends all of them, and waits for that.
    pub(crate) fn shut_down(self) {
        for hand in self.hands {
            hand.worker.shut_down();
        }
    }

    /// Whoever waits for the import of a deployment is to hear of the next one.
    fn superseded(&mut self, id: DeploymentId) -> Vec<Imported> {
        let mut waiting = Vec::new();
        for hand in self.hands.iter_mut().filter(|hand| hand.deployment == id) {
            if let Part::Tried(trial) = &mut hand.part {
                waiting.append(&mut trial.done);
                hand.part = Part::Leaves;
            }
        }
        waiting
    }

    fn try_out(&mut self, number: u32, trial: Trial) {
        let mut hands = self.hands.iter_mut();
        if let Some(hand) = hands.find(|hand| hand.worker.number() == number) {
            hand.part = Part::Tried(Box::new(trial));
        }
    }

    /// The trial of the worker in a place, which leaves unless it is told otherwise.
    fn trial(&mut self, place: usize) -> Option<Trial> {
        let part = &mut self.hands.get_mut(place)?.part;
        if !matches!(part, Part::Tried(_)) {
            return None;
        }
        match std::mem::replace(part, Part::Leaves) {
            Part::Tried(trial) => Some(*trial),
            Part::Serves | Part::Leaves => None,
        }
    }

    /// The worker in a place, whose import has succeeded, takes over what another one has done.
    fn take_over(&mut self, place: usize, deployed: Deployed, catalogue: &Catalogue) {
        let Some(hand) = self.hands.get_mut(place) else {
            return;
        };
        hand.part = Part::Serves;
        let deployment = Deployment {
            catalogue: Some(Arc::new(catalogue.clone())),
            worker: Some(hand.worker.number()),
            ..Deployment::from(deployed)
        };
        let id = deployment.id;
        let Some(known) = self.get_mut(id) else {
            return self.known.push(deployment);
        };
        let before = std::mem::replace(known, deployment).worker;
        self.dismiss(before);
    }

    /// The worker with this number ends when its attempts have ended.
    fn dismiss(&mut self, number: Option<u32>) {
        let mut hands = self.hands.iter_mut();
        if let Some(hand) = hands.find(|hand| Some(hand.worker.number()) == number) {
            hand.part = Part::Leaves;
        }
    }

    fn put_first(&mut self, id: DeploymentId) {
        if let Some(place) = self.known.iter().position(|one| one.id == id) {
            self.known[..=place].rotate_right(1);
        }
    }

    fn forget(&mut self, id: DeploymentId) {
        if let Some(place) = self.known.iter().position(|one| one.id == id) {
            let number = self.known.remove(place).worker;
            self.dismiss(number);
        }
    }
}

impl Scheduler {
    /// Imports a version beside what is there. It is known when that has succeeded; a worker that it had before ends.
    pub(crate) fn deploy(&mut self, deployed: Deployed, done: Imported) {
        let (id, settings) = (deployed.id, deployed.worker.clone());
        let started = self
            .deployments
            .start(settings, id, Part::Leaves, &self.clock);
        match started {
            Ok(number) => {
                let mut waiting = self.deployments.superseded(id);
                waiting.push(done);
                let trial = Trial {
                    deployed,
                    done: waiting,
                };
                self.deployments.try_out(number, trial);
            }
            Err(error) => done(Err(failure_of(&error))),
        }
    }

    /// The same for a deployment that is known, with what is changed. One that executes nothing now is only changed.
    pub(crate) fn replace(&mut self, id: DeploymentId, settings: WorkerSettings, done: Imported) {
        let is_active = self.deployments.is_active(id);
        let Some(known) = self.deployments.get_mut(id) else {
            return done(Err(unknown(id)));
        };
        let deployed = Deployed {
            id,
            worker: settings,
            catalogue: None,
            backoff: known.backoff,
            locals: known.locals,
            concurrency: known.concurrency,
        };
        if let (Some(catalogue), None, false) = (&known.catalogue, known.worker, is_active) {
            let catalogue = Catalogue::clone(catalogue);
            known.settings = deployed.worker;
            return done(Ok(catalogue));
        }
        self.deploy(deployed, done);
    }

    /// The import of the worker in a place has ended so; nobody is told of one that was superseded meanwhile.
    pub(crate) fn tried(&mut self, place: usize, found: &Result<Catalogue, Failure>) {
        let Some(Trial { deployed, done }) = self.deployments.trial(place) else {
            return;
        };
        let id = deployed.id;
        if let Ok(catalogue) = found {
            self.deployments.take_over(place, deployed, catalogue);
            self.read_again(id);
            self.show_active();
        }
        for done in done {
            done(found.clone());
        }
    }

    /// Makes a deployment that was imported the active one, in the store and here.
    pub(crate) fn activate(&mut self, id: DeploymentId, done: Done<Result<bool, Refusal>>) {
        let imported = self.deployments.get(id).map(|one| one.catalogue.is_some());
        let refused = match imported {
            Some(true) => self.writable().map(|()| None),
            Some(false) | None => Ok(Some(false)),
        };
        match refused {
            Ok(None) => {}
            Ok(Some(unknown)) => return done(Ok(unknown)),
            Err(refusal) => return done(Err(refusal)),
        }
        let (project, now) = (self.project.clone(), self.clock.now());
        let gate = self.unwritten.gate();
        let then = self.then(move |scheduler, written: Result<bool, StoreError>| {
            if written == Ok(true) {
                scheduler.deployments.put_first(id);
                scheduler.show_active();
            }
            done(written.map_err(|error| Refusal::from(&error)));
        });
        self.store.write(
            async move |tx| {
                gate.check()?;
                deployments::activate(tx, &project, id, now).await
            },
            then,
        );
    }

    /// Nothing is done with a deployment any more; not with the active one, or one whose runs wait.
    pub(crate) fn forget(&mut self, id: DeploymentId) {
        if !self.deployments.is_active(id) && self.queue.remove_lane(id) {
            self.deployments.superseded(id);
            self.deployments.forget(id);
        }
    }

    pub(crate) fn show_active(&self) {
        if let Some(active) = self.deployments.active() {
            let (id, catalogue) = (active.id, active.catalogue.clone());
            self.show(|shown| {
                shown.active = Some(id);
                shown.catalogue = catalogue;
            });
        }
    }
}

fn unknown(id: DeploymentId) -> Failure {
    let message = format!("there is no deployment {id}");
    Failure::new(ErrorCode::ImportFailed, "UnknownDeployment", message)
}
