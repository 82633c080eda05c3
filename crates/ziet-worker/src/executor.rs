//! One executor, seen from outside: from the moment it is asked for until its process has ended.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mio::{Registry, Token};
use ziet_core::wire::FromExecutor;

use crate::channel::Channel;
use crate::os::{self, Group, Usage};
use crate::pipe::Pipe;
use crate::tail::Tail;

pub(crate) struct Executor {
    /// What it must say in its hello: known only to the fork that it was made for.
    pub(crate) secret: String,
    /// Known from its hello.
    pub(crate) pid: Option<u32>,
    /// What the zygote calls it, which may live in a namespace of processes with ids of its own.
    pub(crate) zygote_pid: Option<u32>,
    /// Its process and what it has started, where there can be groups.
    pub(crate) group: Option<Group>,
    pub(crate) link: Option<Link>,
    pub(crate) phase: Phase,
    /// What it did that no executor does, if anything.
    pub(crate) fault: Option<String>,
    /// The number of the attempt that it executes, or executed last, among those of all executors.
    pub(crate) attempt: u64,
    /// Attempts that it has begun.
    pub(crate) attempts: u32,
    /// Whether it serves one attempt only.
    pub(crate) alone: bool,
    /// The limit of memory that it was told last.
    pub(crate) memory_limit: Option<u64>,
    /// Bytes that it had resident when it came.
    pub(crate) baseline: u64,
    /// The most memory that the attempt was seen to have, with its descendants.
    pub(crate) sampled: u64,
    /// Processor time that its earlier attempts have reported.
    pub(crate) reported: Duration,
    /// The directory that it has to itself, if it has one.
    pub(crate) scratch: Option<PathBuf>,
    /// What the attempt wrote to standard error last.
    pub(crate) tail: Tail,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Asked for, and not heard of yet.
    Arriving { until: Instant },
    /// In the pool; what it sends belongs to nobody.
    Idle,
    /// It was taken for an attempt: what it sends counts.
    Busy,
    /// It was asked for its stack; nothing else that it sends counts any more.
    Dumping { until: Instant },
    /// SIGKILL was sent, or it has ended.
    Killed,
}

/// What connects it.
pub(crate) struct Link {
    pub(crate) channel: Channel,
    pub(crate) out: Pipe,
    pub(crate) err: Pipe,
    pub(crate) stack: Pipe,
    pub(crate) stack_signal: i32,
}

/// The places of an executor's descriptors in its four tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Channel,
    Out,
    Err,
    Stack,
}

impl Part {
    pub(crate) const ALL: [Self; 4] = [Self::Channel, Self::Out, Self::Err, Self::Stack];
}

impl Executor {
    /// One that was asked for, and must be there at `until`.
    pub(crate) fn new(secret: String, scratch: Option<PathBuf>, until: Instant) -> Self {
        Self {
            secret,
            pid: None,
            zygote_pid: None,
            group: None,
            link: None,
            phase: Phase::Arriving { until },
            fault: None,
            attempt: 0,
            attempts: 0,
            alone: false,
            memory_limit: None,
            baseline: 0,
            sampled: 0,
            reported: Duration::ZERO,
            scratch,
            tail: Tail::default(),
        }
    }

    /// Whether the process that said hello is the one that was forked, as far as both are known. The zygote's namespace of
    /// processes is `depth` below this program's.
    pub(crate) fn is_itself(&self, depth: usize) -> bool {
        let (Some(pid), Some(_)) = (self.pid, self.zygote_pid) else {
            return true;
        };
        os::inner_pid(pid, depth) == self.zygote_pid
    }

    /// When something is to be done about it although it does nothing.
    pub(crate) fn until(&self) -> Option<Instant> {
        match self.phase {
            Phase::Arriving { until } | Phase::Dumping { until } => Some(until),
            Phase::Idle | Phase::Busy | Phase::Killed => None,
        }
    }

    /// What it has used that no attempt before this one has reported.
    pub(crate) fn usage(&self) -> Option<Usage> {
        let usage = os::usage(self.pid?)?;
        let sampled = Some(self.sampled).filter(|sampled| *sampled > 0);
        Some(Usage {
            cpu: usage.cpu.saturating_sub(self.reported),
            peak_memory_bytes: usage.peak_memory_bytes.max(sampled),
        })
    }

    /// What is left of it: its scratch directory, if it had one.
    pub(crate) fn close(self, registry: &Registry) -> Option<PathBuf> {
        if let Some(mut link) = self.link {
            let _ = registry.deregister(link.channel.stream());
            for pipe in [link.out, link.err, link.stack] {
                pipe.close(registry);
            }
        }
        self.scratch
    }
}

/// A connection that has not said which executor it is.
pub(crate) struct Arrival {
    pub(crate) channel: Channel,
    descriptors: Vec<OwnedFd>,
}

/// What an arrival's hello made of it.
pub(crate) struct Arrived {
    pub(crate) secret: String,
    pub(crate) protocol: u32,
    pub(crate) stack_signal: i32,
    pub(crate) channel: Channel,
    pub(crate) descriptors: [OwnedFd; 3],
}

/// What became of reading from an arrival.
pub(crate) enum Hello {
    NotYet(Arrival),
    Said(Arrived),
    /// Not an executor of ours, or gone.
    Refused,
}

impl Arrival {
    pub(crate) fn new(channel: Channel) -> Self {
        Self {
            channel,
            descriptors: Vec::new(),
        }
    }

    pub(crate) fn read(mut self) -> Hello {
        use crate::channel::Readiness;
        loop {
            let readiness = self.channel.fill_with_descriptors(&mut self.descriptors);
            match self.channel.take::<FromExecutor>() {
                Ok(Some(FromExecutor::Hello {
                    protocol,
                    token,
                    stack_signal,
                })) => {
                    let Ok(descriptors) = self.descriptors.try_into() else {
                        return Hello::Refused;
                    };
                    let channel = self.channel;
                    return Hello::Said(Arrived {
                        secret: token,
                        protocol,
                        stack_signal,
                        channel,
                        descriptors,
                    });
                }
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return Hello::Refused,
            }
            match readiness {
                Ok(Readiness::More) => {}
                Ok(Readiness::Drained) => return Hello::NotYet(self),
                Ok(Readiness::Closed) | Err(_) => return Hello::Refused,
            }
        }
    }
}

/// Four tokens for each executor, above those that the worker itself has.
pub(crate) const FIRST_TOKEN: usize = 64;

pub(crate) fn token(executor: u64, part: Part) -> Token {
    let number = usize::try_from(executor).unwrap_or(usize::MAX / 8);
    Token(FIRST_TOKEN + number * Part::ALL.len() + part as usize)
}

pub(crate) fn from_token(token: Token) -> Option<(u64, Part)> {
    let place = token.0.checked_sub(FIRST_TOKEN)?;
    let executor = u64::try_from(place / Part::ALL.len()).ok()?;
    Some((executor, Part::ALL[place % Part::ALL.len()]))
}
