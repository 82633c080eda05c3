//! What the zygote says.

use ziet_core::wire::{FromZygote, Level, PROTOCOL, ToZygote};

use super::{CONTROL, Ended, ExecutorId, Worker, WorkerError, WorkerEvent, ZYGOTE_ERR, ZYGOTE_OUT};
use crate::channel::Readiness;
use crate::executor::{Executor, Phase};
use crate::os::{self, Ending};
use crate::zygote::Zygote;

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
                return self.end_zygote(|_, _| error);
            }
        }
        match readiness {
            Readiness::Drained => {}
            Readiness::More => self.again.push_back(CONTROL),
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
            } => {
                if protocol != PROTOCOL {
                    let python = self.settings.python.clone();
                    return Err(WorkerError::Protocol {
                        python,
                        sdk,
                        theirs: protocol,
                        ours: PROTOCOL,
                    });
                }
                if let Some(zygote) = &mut self.zygote {
                    zygote.sdk_folder = folder;
                }
            }
            FromZygote::Action { spec } => self.with_catalogue(|catalogue| catalogue.add(*spec)),
            FromZygote::Problem { problem } => {
                self.with_catalogue(|catalogue| catalogue.problems.push(problem));
            }
            FromZygote::Loaded {} => {
                self.read_zygote_output(Level::Info);
                self.read_zygote_output(Level::Warn);
                let loading = self
                    .zygote
                    .as_mut()
                    .and_then(|zygote| zygote.loading.take());
                if let Some(loading) = loading {
                    self.events
                        .push_back(WorkerEvent::Loaded(loading.catalogue));
                }
            }
            FromZygote::InputMade { input, made, error } => {
                self.events
                    .push_back(WorkerEvent::InputMade { input, made, error });
            }
            FromZygote::Forked { token, pid } => self.on_forked(&token, pid),
            FromZygote::ForkFailed { token, error } => self.on_fork_failed(&token, error),
            FromZygote::Exited { pid, status } => self.on_exited(pid, status)?,
        }
        Ok(())
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
        let Some(executor) = self
            .executors
            .values_mut()
            .find(|executor| executor.secret == secret)
        else {
            return;
        };
        executor.zygote_pid = Some(pid);
        if !executor.is_itself() {
            executor.fault = Some("another process used its token".to_owned());
            // That one is not ours to kill: the one that was forked is.
            executor.pid = None;
        } else if executor.link.is_some() {
            // Where a socket does not tell, ids mean the same to everybody.
            executor.pid = executor.pid.or(Some(pid));
        }
        if executor.phase == Phase::Killed || executor.fault.is_some() {
            end(executor, self.zygote.as_mut());
        }
    }

    /// Sends it SIGKILL, which before its hello only the zygote can do. One that is not forked yet is ended when it is.
    pub(super) fn end_process(&mut self, id: u64) {
        if let Some(executor) = self.executors.get(&id) {
            end(executor, self.zygote.as_mut());
        }
    }

    fn on_fork_failed(&mut self, secret: &str, error: String) {
        let found = self
            .executors
            .iter()
            .find(|(_, executor)| executor.secret == secret);
        if let Some(id) = found.map(|(id, _)| *id) {
            self.executors.remove(&id);
            self.events.push_back(WorkerEvent::NotForked {
                executor: ExecutorId(id),
                error,
            });
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
            self.end_process(id);
            self.drain(id);
            self.on_ended(id, status);
            if let Some(executor) = self.executors.remove(&id) {
                executor.close(&self.registry);
            }
        }
        self.tell_zygote(&ToZygote::Reap { pid })
    }

    fn on_ended(&mut self, id: u64, status: i32) {
        let Some(executor) = self.executors.get_mut(&id) else {
            return;
        };
        match executor.phase {
            Phase::Killed => {}
            // It died of something else before its stack had come.
            Phase::Dumping { .. } => self.kill(id),
            Phase::Arriving | Phase::Serving => {
                let ending = if status < 0 {
                    Ending::Signal(-status)
                } else {
                    Ending::Exit(status)
                };
                executor.phase = Phase::Killed;
                let fault = executor.fault.take();
                let usage = executor.pid.and_then(os::usage);
                let stack = self.stack_of(id);
                let ended = Ended {
                    executor: ExecutorId(id),
                    ending,
                    fault,
                    stack,
                    usage,
                };
                self.events.push_back(WorkerEvent::Ended(ended));
            }
        }
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
        if let Some(text) = text {
            zygote.note(&text);
            self.events.push_back(WorkerEvent::Printed { level, text });
        }
        if readiness == Readiness::More {
            self.again.push_back(token);
        }
    }

    fn on_zygote_closed(&mut self) {
        let python = self.settings.python.clone();
        let loading = self
            .zygote
            .as_ref()
            .is_some_and(|zygote| zygote.loading.is_some());
        self.end_zygote(|ending, said| {
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
    pub(super) fn end_zygote(&mut self, error: impl FnOnce(String, String) -> WorkerError) {
        self.read_zygote_output(Level::Info);
        self.read_zygote_output(Level::Warn);
        for executor in std::mem::take(&mut self.executors).into_values() {
            if let Some(pid) = executor.pid {
                os::kill(pid);
            }
            executor.close(&self.registry);
        }
        let Some(zygote) = self.zygote.take() else {
            return;
        };
        let said = if zygote.said.is_empty() {
            String::new()
        } else {
            format!(":\n{}", zygote.said.trim_end())
        };
        let ending = zygote.end(&self.registry);
        self.events
            .push_back(WorkerEvent::Gone(error(ending, said)));
    }
}

fn end(executor: &Executor, zygote: Option<&mut Zygote>) {
    match (executor.pid, executor.zygote_pid, zygote) {
        (Some(pid), _, _) => os::kill(pid),
        (None, Some(pid), Some(zygote)) => {
            // So short a message is never refused; a zygote that does not read it is ending.
            let _ = zygote.channel.send(&ToZygote::Kill { pid });
        }
        (None, _, _) => {}
    }
}
