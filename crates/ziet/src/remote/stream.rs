//! Server-sent events, over as many connections as it takes: each goes on after the last event that was heard.

use std::io::{self, BufRead, BufReader};
use std::thread;
use std::time::Duration;

use ureq::BodyReader;

use super::request::Server;
use crate::error::CliError;

/// Between a connection that was lost and the next one. It doubles up to the longest while nothing is heard.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// The event after which nothing comes.
const END: &str = "end";

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) name: String,
    pub(crate) id: Option<String>,
    pub(crate) data: String,
}

#[derive(Debug)]
pub(crate) enum Heard {
    Event(Event),
    /// The server cannot be reached, and is tried again; told once.
    Lost(CliError),
    /// It can be reached again.
    Back,
}

/// The events of one path: an iterator that waits for each. It ends with the event `end`, and after an error.
pub(crate) struct Stream {
    server: Server,
    path: String,
    query: Vec<(String, String)>,
    reader: Option<BufReader<BodyReader<'static>>>,
    /// The id of the last event.
    last: Option<String>,
    pause: Duration,
    /// Whether there was a connection, so that another one is worth waiting for.
    was_open: bool,
    is_lost: bool,
    is_over: bool,
}

impl Stream {
    pub(super) fn new(server: Server, path: String, query: Vec<(String, String)>) -> Self {
        Self {
            server,
            path,
            query,
            reader: None,
            last: None,
            pause: PAUSE,
            was_open: false,
            is_lost: false,
            is_over: false,
        }
    }

    /// Tells if what is to be known of a new connection.
    fn connect(&mut self) -> Option<Result<Heard, CliError>> {
        let query: Vec<_> = self
            .query
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        let opened = self.server.live(&self.path, &query, self.last.as_deref());
        match opened {
            Ok(response) => {
                self.reader = Some(BufReader::new(response.into_body().into_reader()));
                self.was_open = true;
                std::mem::take(&mut self.is_lost).then_some(Ok(Heard::Back))
            }
            Err(fault) if fault.is_passing && self.was_open => {
                let was_lost = std::mem::replace(&mut self.is_lost, true);
                if was_lost {
                    self.wait();
                }
                (!was_lost).then_some(Ok(Heard::Lost(fault.error)))
            }
            Err(fault) => {
                self.is_over = true;
                Some(Err(fault.error))
            }
        }
    }

    fn wait(&mut self) {
        thread::sleep(self.pause);
        self.pause = LONGEST_PAUSE.min(self.pause * 2);
    }
}

impl Iterator for Stream {
    type Item = Result<Heard, CliError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.is_over {
                return None;
            }
            let Some(reader) = &mut self.reader else {
                match self.connect() {
                    Some(told) => return Some(told),
                    None => continue,
                }
            };
            // Whatever ended the connection, the next one goes on where this one was.
            let Ok(Some(event)) = read(reader) else {
                self.reader = None;
                self.wait();
                continue;
            };
            self.pause = PAUSE;
            self.is_over = event.name == END;
            if event.id.is_some() {
                self.last.clone_from(&event.id);
            }
            return Some(Ok(Heard::Event(event)));
        }
    }
}

/// The next event; None where the connection ended, also in the middle of one.
fn read(reader: &mut impl BufRead) -> io::Result<Option<Event>> {
    let mut event = Event::default();
    let mut data: Vec<String> = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        reader.read_until(b'\n', &mut line)?;
        let Some(text) = line.strip_suffix(b"\n") else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(text.strip_suffix(b"\r").unwrap_or(text));
        if text.is_empty() {
            if data.is_empty() {
                continue;
            }
            event.data = data.join("\n");
            return Ok(Some(event));
        }
        let (field, value) = text.split_once(':').unwrap_or((&text, ""));
        let value = value.strip_prefix(' ').unwrap_or(value).to_owned();
        match field {
            "event" => event.name = value,
            "id" => event.id = Some(value),
            "data" => data.push(value),
            // A comment, or what is not known.
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<Event> {
        let mut reader = text.as_bytes();
        std::iter::from_fn(|| read(&mut reader).unwrap()).collect()
    }

    #[test]
    fn events_are_read_as_the_standard_has_them() {
        let event = |name: &str, id: Option<&str>, data: &str| Event {
            name: name.to_owned(),
            id: id.map(str::to_owned),
            data: data.to_owned(),
        };
        let text = ": still here\n\nevent: log\r\nid: 7\r\ndata: {\"a\":\r\ndata:1}\r\n\r\nnew: x\ndata\n\nevent: log\ndata: cut";
        assert_eq!(
            all(text),
            [event("log", Some("7"), "{\"a\":\n1}"), event("", None, "")]
        );
    }
}
