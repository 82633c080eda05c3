//! What executors say: their arrival, their messages, and what comes out of their pipes.

use std::io::ErrorKind;

use mio::{Interest, Token};
use ziet_core::wire::{FromExecutor, Level};

use super::{ExecutorId, LISTENER, PAUSE, Worker, WorkerEvent};
use crate::channel::{Channel, Readiness};
use crate::executor::{Arrival, Arrived, Executor, Hello, Link, Part, Phase, token};
use crate::os;
use crate::pipe::Pipe;
use crate::stack;

/// Connections that are accepted before others get their turn.
const ACCEPTED: usize = 64;

/// Connections that say nothing, kept besides those of executors that are awaited: the oldest go first.
const STRANGERS: usize = 16;

impl Worker {
    pub(super) fn accept(&mut self) {
        if self.accepts_from.is_some() {
            return;
        }
        for _ in 0..ACCEPTED {
            let Some(home) = &self.home else {
                return;
            };
            let mut stream = match home.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // One that hung up at once; others may still wait.
                Err(error)
                    if error.kind() == ErrorKind::Interrupted
                        || error.kind() == ErrorKind::ConnectionAborted =>
                {
                    continue;
                }
                // Out of descriptors: they wait until there may be some again.
                Err(_) => return self.accepts_from = Some(self.now + PAUSE),
            };
            // Whoever is connected has nothing to say a second time.
            let peer = os::peer_pid(&stream);
            if peer.is_some() && self.executors.values().any(|one| one.pid == peer) {
                continue;
            }
            self.last_arrival += 1;
            let arrival = self.last_arrival;
            if self
                .registry
                .register(&mut stream, Token(arrival), Interest::READABLE)
                .is_ok()
            {
                self.arrivals
                    .insert(arrival, Arrival::new(Channel::new(stream)));
                self.read_arrival(arrival);
            }
            if self.arrivals.len() > self.arriving() + STRANGERS {
                self.arrivals.pop_first();
            }
        }
        self.again.push_back(self.own(LISTENER));
    }

    pub(super) fn read_arrival(&mut self, number: usize) {
        let Some(arrival) = self.arrivals.remove(&number) else {
            return;
        };
        match arrival.read() {
            Hello::NotYet(arrival) => drop(self.arrivals.insert(number, arrival)),
            Hello::Said(arrived) => self.on_hello(arrived),
            Hello::Refused => {}
        }
    }

    /// Only the process that the zygote forked for a token may use it, and only once.
    fn on_hello(&mut self, arrived: Arrived) {
        let Arrived {
            secret,
            protocol,
            stack_signal,
            mut channel,
            descriptors,
        } = arrived;
        let depth = self.zygote_depth();
        let spoken = self.zygote.as_ref().and_then(|zygote| zygote.protocol);
        let mut waiting = self.executors.iter_mut();
        let Some((&id, executor)) =
            waiting.find(|(_, e)| e.secret == secret && matches!(e.phase, Phase::Arriving { .. }))
        else {
            return;
        };
        // Where a socket does not tell, ids mean the same to everybody.
        executor.pid = os::peer_pid(channel.stream()).or(executor.zygote_pid);
        if Some(protocol) != spoken || !executor.is_itself(depth) {
            executor.pid = None;
            return self.end_process(id);
        }
        executor.process = executor.pid.and_then(os::hold);
        executor.baseline = executor.pid.and_then(os::resident).unwrap_or_default();
        executor.had = executor.baseline;
        let [out, err, stack] = descriptors;
        let register = |end, part| Pipe::new(end, &self.registry, token(id, part));
        let pipes = (
            register(out, Part::Out),
            register(err, Part::Err),
            register(stack, Part::Stack),
        );
        let registered = self.registry.reregister(
            channel.stream(),
            token(id, Part::Channel),
            Interest::READABLE,
        );
        if let ((Ok(out), Ok(err), Ok(stack)), Ok(())) = (pipes, registered) {
            executor.link = Some(Link {
                channel,
                out,
                err,
                stack,
                stack_signal,
            });
            self.arrived(id);
        } else {
            self.end_process(id);
        }
    }

    pub(super) fn read_executor(&mut self, id: u64, part: Part) {
        let readiness = match part {
            Part::Channel => self.read_messages(id),
            Part::Out => self.read_pipe(id, Level::Info),
            Part::Err => self.read_pipe(id, Level::Warn),
            Part::Stack => self.read_stack(id),
        };
        match readiness {
            Readiness::More => self.again.push_back(token(id, part)),
            Readiness::Closed if part == Part::Channel => self.on_hung_up(id),
            Readiness::Drained | Readiness::Closed => {}
        }
    }

    fn read_messages(&mut self, id: u64) -> Readiness {
        let Some(link) = self
            .executors
            .get_mut(&id)
            .and_then(|executor| executor.link.as_mut())
        else {
            return Readiness::Drained;
        };
        let _ = link.channel.flush();
        let _ = link.channel.watch(&self.registry, token(id, Part::Channel));
        let readiness = link.channel.fill(&mut self.buffer);
        loop {
            let Some(executor) = self.executors.get_mut(&id) else {
                return Readiness::Drained;
            };
            let Executor {
                link: Some(link),
                phase: phase @ (Phase::Busy | Phase::Idle),
                ..
            } = executor
            else {
                return Readiness::Drained;
            };
            match (link.channel.take::<FromExecutor>(), phase) {
                (Ok(Some(message)), Phase::Busy) => self.on_message(id, message),
                // What comes after the end of an attempt, of a thread that goes on, is nobody's.
                (Ok(Some(_)), _) => {}
                (Ok(None), _) => return readiness,
                (Err(error), _) => {
                    self.found_out(id, || format!("it sent {error}"));
                    return Readiness::Drained;
                }
            }
        }
    }

    fn on_message(&mut self, id: u64, message: FromExecutor) {
        // What it wrote to its pipes before belongs before it.
        match message {
            FromExecutor::Finished(_) => self.read_pipes(id, Self::take_rest),
            FromExecutor::Drain { .. } => self.read_pipes(id, |_, _, _| {}),
            FromExecutor::Output {
                level: Level::Warn,
                ref text,
            } => self.note(id, text),
            _ => {}
        }
        self.events
            .push_back(WorkerEvent::Message(ExecutorId(id), message));
    }

    /// What was printed before it, and has come, goes first.
    fn read_pipe(&mut self, id: u64, level: Level) -> Readiness {
        self.read_executor(id, Part::Channel);
        self.read_output(id, level)
    }

    fn read_output(&mut self, id: u64, level: Level) -> Readiness {
        // Taken out for the while: the pipe belongs to the worker just as the buffer does.
        let mut buffer = std::mem::take(&mut self.buffer);
        let (readiness, text) = match self.output_pipe(id, level) {
            Some((pipe, Phase::Busy)) => (pipe.fill(&mut buffer), pipe.take_lines()),
            // Between attempts it is nobody's.
            Some((pipe, _)) => (pipe.clear(&mut buffer), None),
            None => (Readiness::Drained, None),
        };
        self.buffer = buffer;
        self.on_output(id, level, text);
        readiness
    }

    fn take_rest(&mut self, id: u64, level: Level) {
        let pipe = self.output_pipe(id, level);
        let text = pipe.and_then(|(pipe, _)| pipe.take_rest());
        self.on_output(id, level, text);
    }

    fn on_output(&mut self, id: u64, level: Level, text: Option<String>) {
        let Some(text) = text else { return };
        if level == Level::Warn {
            self.note(id, &text);
        }
        self.events.push_back(WorkerEvent::Message(
            ExecutorId(id),
            FromExecutor::Output { level, text },
        ));
    }

    /// Keeps what it says last, for when it dies.
    fn note(&mut self, id: u64, text: &str) {
        if let Some(executor) = self.executors.get_mut(&id) {
            executor.tail.push(text);
        }
    }

    /// With the phase that it is in. None for an executor that has nothing to say any more.
    fn output_pipe(&mut self, id: u64, level: Level) -> Option<(&mut Pipe, Phase)> {
        let executor = self.executors.get_mut(&id)?;
        let Executor {
            link: Some(link),
            phase: phase @ (Phase::Busy | Phase::Idle),
            ..
        } = executor
        else {
            return None;
        };
        let pipe = match level {
            Level::Info => &mut link.out,
            Level::Warn | Level::Error => &mut link.err,
        };
        Some((pipe, *phase))
    }

    fn read_stack(&mut self, id: u64) -> Readiness {
        let Some(executor) = self.executors.get_mut(&id) else {
            return Readiness::Drained;
        };
        let Some(link) = &mut executor.link else {
            return Readiness::Drained;
        };
        let readiness = link.stack.fill(&mut self.buffer);
        if matches!(executor.phase, Phase::Dumping { .. }) {
            if stack::is_complete(link.stack.bytes()) {
                self.kill(id);
            }
        } else if link.stack.bytes().len() > stack::LONGEST {
            // No stack is as long, and nobody has asked for one.
            link.stack.clear(&mut self.buffer);
        }
        readiness
    }

    /// Its end of the connection is closed: it is ending, or it has closed what it must not close. Its exit is told by
    /// the zygote, and a process that is already dying keeps its own reason.
    fn on_hung_up(&mut self, id: u64) {
        let Some(executor) = self.executors.get_mut(&id) else {
            return;
        };
        // A process that is ending closes everything, too.
        if !executor.pid.is_some_and(os::is_exiting) {
            self.found_out(id, || "it closed its connection to Ziet".to_owned());
        } else if executor.phase == Phase::Idle {
            self.retire(id);
        }
    }

    /// Reads all that a dead executor has sent.
    pub(super) fn drain(&mut self, id: u64) {
        while self.read_messages(id) == Readiness::More {}
        self.read_pipes(id, Self::take_rest);
        self.read_stack(id);
    }

    /// Passes on what the pipes hold. One turn reads more than fits into a pipe; whatever comes after that, from a
    /// process that was left behind, is not waited for.
    fn read_pipes(&mut self, id: u64, rest: impl Fn(&mut Self, u64, Level)) {
        for level in [Level::Info, Level::Warn] {
            self.read_output(id, level);
            rest(self, id, level);
        }
    }
}
