//! What executors say: their arrival, their messages, and what comes out of their pipes.

use std::io::ErrorKind;

use mio::{Interest, Token};
use ziet_core::wire::{FromExecutor, Level, PROTOCOL};

use super::{ExecutorId, LISTENER, Worker, WorkerEvent};
use crate::channel::{Channel, Readiness};
use crate::executor::{Arrival, Arrived, Executor, Hello, Link, Part, Phase, token};
use crate::os;
use crate::pipe::Pipe;
use crate::stack;

impl Worker {
    pub(super) fn accept(&mut self) {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // One that hung up at once; others may still wait. Out of descriptors: they wait for the next turn.
                Err(error)
                    if error.kind() == ErrorKind::Interrupted
                        || error.kind() == ErrorKind::ConnectionAborted =>
                {
                    continue;
                }
                Err(_) => return self.again.push_back(LISTENER),
            };
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
        }
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
        let mut waiting = self.executors.iter_mut();
        let Some((&id, executor)) =
            waiting.find(|(_, e)| e.secret == secret && e.phase == Phase::Arriving)
        else {
            return;
        };
        // Where a socket does not tell, ids mean the same to everybody.
        executor.pid = os::peer_pid(channel.stream()).or(executor.zygote_pid);
        if protocol != PROTOCOL || !executor.is_itself() {
            executor.pid = None;
            executor.fault =
                Some("its hello is not that of the process that was forked".to_owned());
            return self.end_process(id);
        }
        let [out, err, stack] = descriptors;
        let register = |end, part| Pipe::new(end, &self.registry, token(id, part));
        let pipes = (
            register(out, Part::Out),
            register(err, Part::Err),
            register(stack, Part::Stack),
        );
        let interest = Interest::READABLE | Interest::WRITABLE;
        let registered =
            self.registry
                .reregister(channel.stream(), token(id, Part::Channel), interest);
        if let ((Ok(out), Ok(err), Ok(stack)), Ok(())) = (pipes, registered) {
            executor.link = Some(Link {
                channel,
                out,
                err,
                stack,
                stack_signal,
            });
            executor.phase = Phase::Serving;
            self.events.push_back(WorkerEvent::Ready(ExecutorId(id)));
        } else {
            executor.fault = Some("its pipes could not be watched".to_owned());
            executor.pid.into_iter().for_each(os::kill);
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
        let readiness = link.channel.fill(&mut self.buffer);
        loop {
            let Some(executor) = self.executors.get_mut(&id) else {
                return Readiness::Drained;
            };
            let Executor {
                link: Some(link),
                phase: Phase::Serving,
                ..
            } = executor
            else {
                return Readiness::Drained;
            };
            match link.channel.take::<FromExecutor>() {
                Ok(Some(message)) => self.on_message(id, message),
                Ok(None) => return readiness,
                Err(error) => {
                    executor.fault = Some(format!("it sent {error}"));
                    executor.pid.into_iter().for_each(os::kill);
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
        let pipe = self.output_pipe(id, level);
        let (readiness, text) = pipe.map_or((Readiness::Drained, None), |pipe| {
            (pipe.fill(&mut buffer), pipe.take_lines())
        });
        self.buffer = buffer;
        self.on_output(id, level, text);
        readiness
    }

    fn take_rest(&mut self, id: u64, level: Level) {
        let text = self.output_pipe(id, level).and_then(Pipe::take_rest);
        self.on_output(id, level, text);
    }

    fn on_output(&mut self, id: u64, level: Level, text: Option<String>) {
        if let Some(text) = text {
            self.events.push_back(WorkerEvent::Message(
                ExecutorId(id),
                FromExecutor::Output { level, text },
            ));
        }
    }

    /// None also for an executor that has nothing to say any more.
    fn output_pipe(&mut self, id: u64, level: Level) -> Option<&mut Pipe> {
        let executor = self.executors.get_mut(&id)?;
        let Executor {
            link: Some(link),
            phase: Phase::Serving,
            ..
        } = executor
        else {
            return None;
        };
        Some(if level == Level::Info {
            &mut link.out
        } else {
            &mut link.err
        })
    }

    fn read_stack(&mut self, id: u64) -> Readiness {
        let Some(executor) = self.executors.get_mut(&id) else {
            return Readiness::Drained;
        };
        let Some(link) = &mut executor.link else {
            return Readiness::Drained;
        };
        let readiness = link.stack.fill(&mut self.buffer);
        if matches!(executor.phase, Phase::Dumping { .. }) && stack::is_complete(link.stack.bytes())
        {
            self.kill(id);
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
        if executor.phase == Phase::Serving && !executor.pid.is_some_and(os::is_exiting) {
            executor
                .fault
                .get_or_insert_with(|| "it closed its connection to Ziet".to_owned());
            executor.pid.into_iter().for_each(os::kill);
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
