//! A socket of frames that never blocks: what cannot be written now is kept, what came is taken frame by frame.

use std::collections::VecDeque;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};

use mio::net::UnixStream;
use mio::{Interest, Registry, Token};
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, recvmsg};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ziet_core::frame::{FrameError, FrameReader, encode};

use crate::executor::DESCRIPTORS;
use crate::os;

/// Bytes read at a time, and at most for one readiness event before others get their turn.
const PIECE: usize = 64 * 1024;
const TURN: usize = 16 * PIECE;

pub(crate) struct Channel {
    stream: UnixStream,
    reader: FrameReader,
    unsent: VecDeque<u8>,
    /// Whether an event says when the socket takes more. Asked for only while something is unsent: otherwise each message
    /// that the peer reads would wake the loop.
    awaits_room: bool,
}

/// What reading left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// All that had come was read; the next event says when there is more.
    Drained,
    /// There may be more: no further event will say so.
    More,
    /// The peer has closed its end.
    Closed,
}

impl Channel {
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self {
            stream,
            reader: FrameReader::default(),
            unsent: VecDeque::new(),
            awaits_room: false,
        }
    }

    /// Bytes that the peer has not made room for.
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len()
    }

    pub(crate) fn stream(&mut self) -> &mut UnixStream {
        &mut self.stream
    }

    /// Sends as much as the socket takes; `flush` sends the rest.
    pub(crate) fn send<M: Serialize>(&mut self, message: &M) -> Result<(), FrameError> {
        let frame = encode(message)?;
        self.unsent.extend(frame);
        // A peer that is gone shows when its end is read.
        let _ = self.flush();
        Ok(())
    }

    /// To be called after sending and flushing: has an event tell when the rest can be sent.
    pub(crate) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let awaits_room = !self.unsent.is_empty();
        if awaits_room == self.awaits_room {
            return Ok(());
        }
        self.awaits_room = awaits_room;
        let interest = if awaits_room {
            Interest::READABLE | Interest::WRITABLE
        } else {
            Interest::READABLE
        };
        registry.reregister(&mut self.stream, token, interest)
    }

    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            let (front, _) = self.unsent.as_slices();
            match self.stream.write(front) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.unsent.drain(..written)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads what has come; `take` takes the messages out of it.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Readiness {
        let mut taken = 0;
        while taken < TURN {
            match self.stream.read(buffer) {
                Ok(0) => return Readiness::Closed,
                Ok(length) => {
                    self.reader.push(&buffer[..length]);
                    taken += length;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Readiness::Drained;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Readiness::Closed,
            }
        }
        Readiness::More
    }

    pub(crate) fn take<M: DeserializeOwned>(&mut self) -> Result<Option<M>, FrameError> {
        self.reader.take()
    }

    /// Reads once, together with file descriptors that came along. Returns how many bytes: 0 at the end, and None when
    /// nothing has come.
    pub(crate) fn fill_with_descriptors(
        &mut self,
        descriptors: &mut Vec<OwnedFd>,
    ) -> io::Result<Option<usize>> {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut pieces = [IoSliceMut::new(&mut bytes)];
        let stream = self.stream.as_fd();
        let received = retry_on_intr(|| recvmsg(stream, &mut pieces, &mut ancillary, os::RECEIVE));
        let received = match received {
            Ok(received) => received.bytes,
            Err(Errno::WOULDBLOCK) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        for message in ancillary.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                descriptors.extend(rights);
            }
        }
        self.reader.push(&bytes[..received]);
        Ok(Some(received))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll};

    use super::*;

    const TOKEN: Token = Token(7);

    /// Sends a message of so many bytes to a peer that reads all of it, and tells how often an event said to go on.
    fn events_until_sent(size: usize) -> usize {
        let mut poll = Poll::new().unwrap();
        let (mut ours, mut theirs) = UnixStream::pair().unwrap();
        let registry = poll.registry();
        registry
            .register(&mut ours, TOKEN, Interest::READABLE)
            .unwrap();
        let mut channel = Channel::new(ours);
        channel.send(&"x".repeat(size)).unwrap();
        channel.watch(poll.registry(), TOKEN).unwrap();
        let (mut events, mut buffer) = (Events::with_capacity(8), vec![0; PIECE]);
        let (mut read, mut told) = (0, 0);
        for _ in 0..10_000 {
            read += theirs.read(&mut buffer).unwrap_or(0);
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            told += events.iter().count();
            if events.iter().any(mio::event::Event::is_writable) {
                channel.flush().unwrap();
                channel.watch(poll.registry(), TOKEN).unwrap();
            }
        }
        assert!(read > size, "the rest was not sent");
        told
    }

    #[test]
    fn what_the_socket_does_not_take_is_sent_when_the_peer_has_read() {
        assert!(events_until_sent(4 << 20) > 0);
    }

    #[test]
    fn what_the_socket_takes_wakes_nobody_when_it_is_read() {
        assert_eq!(events_until_sent(1024), 0);
    }
}
