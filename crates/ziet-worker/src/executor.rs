//! One executor, seen from outside: from the moment it is asked for until its process has ended.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mio::{Registry, Token};
use ziet_core::wire::FromExecutor;

use crate::channel::Channel;
use crate::os::{self, Group, Shortage, Usage};
use crate::pipe::Pipe;
use crate::tail::Tail;
use crate::worker::Excess;

pub(crate) struct Executor {
    /// What it must say in its hello: known only to the fork that it was made for.
    pub(crate) secret: String,
    /// Known from its hello.
    pub(crate) pid: Option<u32>,
    /// Tells its process from a later one with its id, where there was a descriptor for that.
    pub(crate) process: Option<OwnedFd>,
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
    /// Bytes that it had resident when its attempt began, with what earlier ones have left in it.
    pub(crate) had: u64,
    /// The most bytes that it had resident during the last attempt that it has reported.
    pub(crate) peak: u64,
    /// The most memory that the attempt was seen to have, with its descendants, without what it `had`.
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
            process: None,
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
            had: 0,
            peak: 0,
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
        Some(Usage {
            cpu: usage.cpu.saturating_sub(self.reported),
            peak_memory_bytes: usage.peak_memory_bytes.max(self.seen()),
        })
    }

    /// Bytes that it has resident before an attempt that may use so many more: what it came with, if earlier attempts
    /// cannot have left so much that it counts. Looking costs time.
    pub(crate) fn had_before(&self, memory: u64) -> u64 {
        let grown = self.peak.saturating_sub(self.baseline) > memory / 4;
        let now = self.pid.filter(|_| grown).and_then(os::resident);
        now.unwrap_or(self.baseline)
    }

    /// The most bytes that it was seen to have resident in the attempt, with its descendants; None if it was not seen.
    pub(crate) fn seen(&self) -> Option<u64> {
        (self.sampled > 0).then(|| self.sampled + self.had)
    }

    /// Ends its process and what that started when nobody keeps its id from others any more.
    pub(crate) fn kill_unkept(&self) {
        if let Some(pid) = self.pid
            && !self.process.as_ref().is_some_and(os::has_ended)
        {
            os::kill_tree(pid);
        }
    }

    /// What the kernel ended it for.
    pub(crate) fn excess(&self, shortage: Shortage) -> Excess {
        match (shortage, self.memory_limit) {
            (Shortage::Limit { most }, Some(limit)) => {
                let most = most.saturating_sub(self.had.saturating_sub(self.baseline));
                let used = self.sampled.max(most);
                Excess::Memory { used, limit }
            }
            _ => Excess::System { used: self.sampled },
        }
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

/// Bytes that no hello is as long as.
const HELLO_BYTES: usize = 1024;

/// File descriptors that come with a hello: of what it prints, of its errors, of its stack.
pub(crate) const DESCRIPTORS: usize = 3;

/// A connection that has not said which executor it is.
pub(crate) struct Arrival {
    pub(crate) channel: Channel,
    /// Bytes that have come.
    received: usize,
    descriptors: Vec<OwnedFd>,
}

/// What an arrival's hello made of it.
pub(crate) struct Arrived {
    pub(crate) secret: String,
    pub(crate) protocol: u32,
    pub(crate) stack_signal: i32,
    pub(crate) channel: Channel,
    pub(crate) descriptors: [OwnedFd; DESCRIPTORS],
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
            received: 0,
            descriptors: Vec::new(),
        }
    }

    pub(crate) fn read(mut self) -> Hello {
        loop {
            match self.channel.fill_with_descriptors(&mut self.descriptors) {
                Ok(None) => return Hello::NotYet(self),
                Ok(Some(0)) | Err(_) => return Hello::Refused,
                Ok(Some(length)) => self.received += length,
            }
            if self.received > HELLO_BYTES || self.descriptors.len() > DESCRIPTORS {
                return Hello::Refused;
            }
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

#[cfg(test)]
mod tests {
    use std::io::{IoSlice, PipeReader, pipe};
    use std::mem::MaybeUninit;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::process::Command;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
    use ziet_core::frame::encode;
    use ziet_core::wire::PROTOCOL;

    use super::*;

    fn arrival() -> (Arrival, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = mio::net::UnixStream::from_std(ours);
        (Arrival::new(Channel::new(stream)), theirs)
    }

    /// Sends these bytes, and so many descriptors with them.
    fn send(peer: &UnixStream, bytes: &[u8], descriptors: usize) {
        let ends: Vec<PipeReader> = (0..descriptors).map(|_| pipe().unwrap().0).collect();
        let ends: Vec<_> = ends.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if descriptors > 0 {
            assert!(ancillary.push(SendAncillaryMessage::ScmRights(&ends)));
        }
        let pieces = [IoSlice::new(bytes)];
        let flags = SendFlags::empty();
        assert_eq!(
            sendmsg(peer, &pieces, &mut ancillary, flags),
            Ok(bytes.len())
        );
    }

    fn hello() -> Vec<u8> {
        encode(&FromExecutor::Hello {
            protocol: PROTOCOL,
            token: "a".repeat(32),
            stack_signal: 16,
        })
        .unwrap()
    }

    #[test]
    fn a_hello_is_taken_also_in_pieces() {
        let (arrival, peer) = arrival();
        let (first, rest) = (&hello()[..3], &hello()[3..]);
        send(&peer, first, 3);
        let Hello::NotYet(arrival) = arrival.read() else {
            panic!()
        };
        send(&peer, rest, 0);
        assert!(matches!(arrival.read(), Hello::Said(said) if said.protocol == PROTOCOL));
    }

    #[test]
    fn no_arrival_has_more_descriptors_or_bytes_than_a_hello() {
        let (mut open, peer) = arrival();
        send(&peer, b"\0", 3);
        let Hello::NotYet(still) = open.read() else {
            panic!()
        };
        open = still;
        send(&peer, b"\0", 1);
        assert!(matches!(open.read(), Hello::Refused));

        let (long, peer) = arrival();
        send(&peer, &[0, 1, 0, 0], 0);
        send(&peer, &[b'.'; HELLO_BYTES], 0);
        assert!(matches!(long.read(), Hello::Refused));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn an_id_that_means_another_process_by_now_is_not_killed() {
        let mut gone = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
        let mut executor = Executor::new(String::new(), None, Instant::now());
        executor.process = os::hold(gone.id());
        executor.pid = Some(gone.id());
        executor.kill_unkept();
        gone.wait().unwrap();

        executor.pid = Some(other.id());
        executor.kill_unkept();

        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }
}
