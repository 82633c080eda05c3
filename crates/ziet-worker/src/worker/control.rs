//! What the zygote says.

use ziet_core::Json;
use ziet_core::limits::{ATTEMPT_MEMORY_BYTES, LOST_IN_A_ROW};
use ziet_core::wire::{FromZygote, Level, ToZygote, is_spoken};

use super::groups::OwnGroups;
use super::{CONTROL, Worker, WorkerError, WorkerEvent, ZYGOTE_ERR, ZYGOTE_OUT};
use crate::channel::Readiness;
use crate::executor::Phase;
use crate::os::{self, Ending};
use crate::pool::Pool;
use crate::sandbox::{self, Mechanisms, Namespaces};
use crate::zygote::Farewell;

impl Worker {
    pub(super) fn read_control(&mut self) {
        let Some(zygote) = &mut self.zygote else {
            return;
        };
        // A socket that is broken shows when it is read.
        let _ = zygote.channel.flush();
        let readiness = zygote.channel.fill(&mut self.buffer);
        loop {
            let Some(zygote) = &mut self.zygote else {
                return;
            };
            let handled = match zygote.channel.take::<FromZygote>() {
                Ok(Some(message)) => self.on_zygote(message),
                Ok(None) => break,
                Err(error) => Err(error.into()),
            };
            if let Err(error) = handled {
                return self.end_zygote(Farewell::Kill, |_, _| error);
            }
        }
        match readiness {
            Readiness::Drained => {}
            Readiness::More => self.again.push_back(self.own(CONTROL)),
            Readiness::Closed => self.on_zygote_closed(),
        }
    }

    fn on_zygote(&mut self, message: FromZygote) -> Result<(), WorkerError> {
        match message {
            FromZygote::Hello {
                protocol,
                sdk,
                python: _,
                folder,
                oldest,
            } => {
                if !is_spoken(protocol, oldest) {
                    let python = self.settings.python.clone();
                    return Err(WorkerError::Protocol {
                        python,
                        sdk,
                        theirs: protocol,
                    });
                }
                if let Some(zygote) = &mut self.zygote {
                    zygote.sdk_folder = folder;
                    zygote.protocol = Some(protocol);
                }
                self.tell_mechanisms();
            }
            FromZygote::Action { mut spec } => {
                // The project's code may have written what the decorator would have refused.
                let (least, most) = ATTEMPT_MEMORY_BYTES.into_inner();
                spec.memory = spec.memory.clamp(least, most);
                self.with_catalogue(|catalogue| catalogue.add(*spec));
            }
            FromZygote::Problem { problem } => {
                self.with_catalogue(|catalogue| catalogue.problems.push(problem));
            }
            FromZygote::Loaded {} => {
                self.read_zygote_output(Level::Info);
                self.read_zygote_output(Level::Warn);
                self.on_loaded();
            }
            FromZygote::InputMade { input, made, error } => {
                self.makes_input = false;
                self.events
                    .push_back(WorkerEvent::InputMade { input, made, error });
            }
            FromZygote::Forked { token, pid } => self.on_forked(&token, pid),
            FromZygote::ForkFailed { token, error } => self.on_fork_failed(&token, error),
            FromZygote::Exited { pid, status } => self.on_exited(pid, status)?,
        }
        Ok(())
    }

    /// They are told once: they are the same for the next zygote.
    fn tell_mechanisms(&mut self) {
        let home = self.home.as_mut().filter(|_| self.settings.sandbox);
        let sandbox = home.and_then(|home| {
            let walls = sandbox::report(home.folder.path())?.ok()?;
            home.own_processes = walls.namespaces == Some(Namespaces::MountsAndProcesses);
            Some(walls)
        });
        if !std::mem::replace(&mut self.tells_mechanisms, false) {
            return;
        }
        self.events.push_back(WorkerEvent::Supervised(Mechanisms {
            sandbox,
            groups: self.groups.as_ref().map(OwnGroups::controllers),
        }));
    }

    fn on_loaded(&mut self) {
        let Some(zygote) = &mut self.zygote else {
            return;
        };
        // What it says from here on is not about the import.
        zygote.said.clear();
        if let Some(loading) = zygote.loading.take() {
            self.pool.emptied(self.now);
            self.events
                .push_back(WorkerEvent::Loaded(loading.catalogue));
        }
    }

    fn with_catalogue(&mut self, change: impl FnOnce(&mut ziet_core::Catalogue)) {
        if let Some(loading) = self
            .zygote
            .as_mut()
            .and_then(|zygote| zygote.loading.as_mut())
        {
            change(&mut loading.catalogue);
        }
    }

    fn on_forked(&mut self, secret: &str, pid: u32) {
        let depth = self.zygote_depth();
        let found = self
            .executors
            .iter_mut()
            .find(|(_, executor)| executor.secret == secret);
        let Some((&id, executor)) = found else {
            return;
        };
        executor.zygote_pid = Some(pid);
        if !executor.is_itself(depth) {
            // The one that said hello is not ours to kill: the one that was forked is.
            executor.pid = None;
            return self.found_out(id, || "another process used its token".to_owned());
        }
        if executor.link.is_some() {
            // Where a socket does not tell, ids mean the same to everybody.
            executor.pid = executor.pid.or(Some(pid));
        }
        if executor.phase == Phase::Killed || executor.fault.is_some() {
            self.end_process(id);
        }
    }

    /// Sends it SIGKILL, which before its hello only the zygote can do. One that is not forked yet is ended when it is.
    pub(super) fn end_process(&mut self, id: u64) {
        let Some(executor) = self.executors.get(&id) else {
            return;
        };
        match (executor.pid, executor.zygote_pid, &mut self.zygote) {
            (Some(pid), _, _) => {
                os::kill_tree(pid);
                // Also ends what was started meanwhile.
                executor.group.iter().for_each(os::Group::kill);
            }
            (None, Some(pid), Some(zygote)) => {
                // So short a message is never refused; a zygote that does not read it is ending.
                let _ = zygote.channel.send(&ToZygote::Kill { pid });
            }
            (None, _, _) => {}
        }
    }

    fn on_fork_failed(&mut self, secret: &str, error: String) {
        let found = self
            .executors
            .iter()
            .find(|(_, executor)| executor.secret == secret);
        if let Some(id) = found.map(|(id, _)| *id) {
            self.forget(id);
            self.not_forked(error);
        }
    }

    /// The process has ended and keeps its id until it is reaped: what it left in its group is killed, what it sent
    /// last is read, and only then the id is given back.
    fn on_exited(&mut self, pid: u32, status: i32) -> Result<(), WorkerError> {
        let found = self
            .executors
            .iter()
            .find(|(_, executor)| executor.zygote_pid == Some(pid))
            .map(|(id, _)| *id);
        if let Some(id) = found {
            let ending = if status < 0 {
                Ending::Signal(-status)
            } else {
                Ending::Exit(status)
            };
            self.end_process(id);
            self.drain(id);
            self.on_ended(id, ending);
        }
        self.tell_zygote(&ToZygote::Reap { pid })
    }

    pub(super) fn read_zygote_output(&mut self, level: Level) {
        let Some(zygote) = &mut self.zygote else {
            return;
        };
        let (pipe, token) = match level {
            Level::Info => (&mut zygote.out, ZYGOTE_OUT),
            Level::Warn | Level::Error => (&mut zygote.err, ZYGOTE_ERR),
        };
        let Some(open) = pipe else { return };
        let readiness = open.fill(&mut self.buffer);
        let text = if readiness == Readiness::Closed {
            open.take_rest()
        } else {
            open.take_lines()
        };
        if readiness == Readiness::Closed
            && let Some(pipe) = pipe.take()
        {
            pipe.close(&self.registry);
        }
        let loading = zygote.loading.as_mut().filter(|_| level != Level::Info);
        let stack = loading.and_then(|loading| loading.stack.as_mut());
        match (text, stack) {
            (Some(text), Some(stack)) => {
                stack.push_str(&text);
                stack.push('\n');
            }
            (Some(text), None) => {
                zygote.note(&text);
                self.events.push_back(WorkerEvent::Printed { level, text });
            }
            (None, _) => {}
        }
        if readiness == Readiness::More {
            self.again.push_back(self.own(token));
        }
    }

    fn on_zygote_closed(&mut self) {
        if self.settings.sandbox
            && let Some(home) = &self.home
            && let Some(Err(refusal)) = sandbox::report(home.folder.path())
        {
            return self.end_zygote(Farewell::Wait, |_, _| WorkerError::Sandbox(refusal));
        }
        let python = self.settings.python.clone();
        let loading = self
            .zygote
            .as_ref()
            .is_some_and(|zygote| zygote.loading.is_some());
        self.end_zygote(Farewell::Wait, |ending, said| {
            if loading {
                WorkerError::Import {
                    python,
                    ending,
                    said,
                }
            } else {
                WorkerError::Zygote { ending, said }
            }
        });
    }

    /// Makes sure that the zygote is gone, and all that it forked.
    pub(super) fn end_zygote(
        &mut self,
        farewell: Farewell,
        error: impl FnOnce(String, String) -> WorkerError,
    ) {
        self.read_zygote_output(Level::Info);
        self.read_zygote_output(Level::Warn);
        let said = self.zygote_said();
        let used = self.executors.values().any(|each| each.link.is_some());
        for mut executor in std::mem::take(&mut self.executors).into_values() {
            executor.kill_unkept();
            self.end_group(executor.group.take());
            executor.close(&self.registry);
        }
        self.due.clear();
        self.pool = Pool::new(&self.settings.pool);
        let Some(zygote) = self.zygote.take() else {
            return;
        };
        let imported = zygote.loading.is_none() && !self.dies_each_time(used);
        let error = error(zygote.end(&self.registry, farewell), said);
        self.leave_home();
        self.end_strays();
        if std::mem::take(&mut self.makes_input) {
            self.events.push_back(WorkerEvent::InputMade {
                input: Json::empty_object(),
                made: Vec::new(),
                error: Some("test data could not be made".to_owned()),
            });
        }
        self.events.push_back(if imported {
            WorkerEvent::Gone(error)
        } else {
            WorkerEvent::ImportFailed(error)
        });
    }

    /// Whether one zygote after the other has gone before there was an executor: that will not get better.
    fn dies_each_time(&mut self, used: bool) -> bool {
        self.failed_arrivals = if used { 0 } else { self.failed_arrivals + 1 };
        let hopeless = self.failed_arrivals >= LOST_IN_A_ROW;
        if hopeless {
            self.failed_arrivals = 0;
        }
        hopeless
    }

    /// What it wrote last, to follow a text about it.
    pub(super) fn zygote_said(&self) -> String {
        let said = self
            .zygote
            .as_ref()
            .map_or("", |zygote| zygote.said.trim_end());
        if said.is_empty() {
            String::new()
        } else {
            format!(":\n{said}")
        }
    }
}
