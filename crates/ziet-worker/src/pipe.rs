//! The pipes of an executor: what it prints outside Python's own streams, and its stack.

use std::os::fd::{AsRawFd, OwnedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};

use crate::channel::Readiness;

/// Bytes for one readiness event before others get their turn.
const TURN: usize = 1024 * 1024;

/// A line is passed on although it has not ended when it is longer than this.
const LONGEST_LINE: usize = 64 * 1024;

pub(crate) struct Pipe {
    end: OwnedFd,
    bytes: Vec<u8>,
}

impl Pipe {
    pub(crate) fn new(end: OwnedFd, registry: &Registry, token: Token) -> std::io::Result<Self> {
        rustix::io::ioctl_fionbio(&end, true)?;
        registry.register(&mut SourceFd(&end.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self {
            end,
            bytes: Vec::new(),
        })
    }

    pub(crate) fn close(self, registry: &Registry) {
        // Closing the only descriptor would do, but a process that inherited it may live on.
        let _ = registry.deregister(&mut SourceFd(&self.end.as_raw_fd()));
    }

    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Readiness {
        let mut taken = 0;
        while taken < TURN {
            match rustix::io::read(&self.end, &mut *buffer) {
                Ok(0) => return Readiness::Closed,
                Ok(length) => {
                    self.bytes.extend_from_slice(&buffer[..length]);
                    taken += length;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => return Readiness::Drained,
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => return Readiness::Closed,
            }
        }
        Readiness::More
    }

    /// Forgets what has come so far.
    pub(crate) fn clear(&mut self, buffer: &mut [u8]) -> Readiness {
        let readiness = self.fill(buffer);
        self.bytes.clear();
        readiness
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The lines that have ended, as one text without the last line end; None when there is none.
    pub(crate) fn take_lines(&mut self) -> Option<String> {
        let end = self
            .bytes
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map(|end| end + 1);
        let end = end.or_else(|| (self.bytes.len() > LONGEST_LINE).then_some(self.bytes.len()))?;
        let lines: Vec<u8> = self.bytes.drain(..end).collect();
        let text = String::from_utf8_lossy(&lines);
        Some(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// Everything that is left, also a line that has not ended.
    pub(crate) fn take_rest(&mut self) -> Option<String> {
        if !self.bytes.is_empty() && self.bytes.last() != Some(&b'\n') {
            self.bytes.push(b'\n');
        }
        self.take_lines()
    }
}
