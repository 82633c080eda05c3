//! A client of the HTTP API that costs next to nothing: one kept connection, blocking, and requests that are written
//! before the clock starts.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

/// Where a server is, and the key that it wants to see.
#[derive(Clone)]
pub(crate) struct Address {
    pub(crate) socket: SocketAddr,
    pub(crate) key: String,
}

/// A whole request, as it is sent.
pub(crate) struct Request(Vec<u8>);

impl Address {
    pub(crate) fn get(&self, path: &str) -> Request {
        self.request("GET", path, "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Request {
        self.request("POST", path, body)
    }

    fn request(&self, method: &str, path: &str, body: &str) -> Request {
        let Self { socket, key } = self;
        let length = body.len();
        Request(
            format!(
                "{method} {path} HTTP/1.1\r\nHost: {socket}\r\nAuthorization: Api-Key {key}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
            )
            .into_bytes(),
        )
    }

    pub(crate) fn connect(&self) -> anyhow::Result<Client> {
        let stream = TcpStream::connect(self.socket)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Client {
            stream,
            received: vec![0; 1 << 16],
        })
    }
}

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    received: Vec<u8>,
}

impl Client {
    /// The body of the answer, which must say that all is well.
    pub(crate) fn ask(&mut self, request: &Request) -> anyhow::Result<&str> {
        self.stream.write_all(&request.0)?;
        let mut length = 0;
        let (body, status) = loop {
            length += self.receive(length)?;
            if let Some(head) = Head::of(&self.received[..length])? {
                break (head.length..head.length + head.body, head.status);
            }
        };
        if body.end > self.received.len() {
            self.received.resize(body.end, 0);
        }
        self.stream
            .read_exact(self.received.get_mut(length..body.end).unwrap_or_default())?;
        let text = std::str::from_utf8(&self.received[body])?;
        ensure!((200..300).contains(&status), "answered {status}: {text}");
        Ok(text)
    }

    fn receive(&mut self, after: usize) -> anyhow::Result<usize> {
        ensure!(
            after < self.received.len(),
            "the head of an answer is too long"
        );
        let received = self.stream.read(&mut self.received[after..])?;
        ensure!(received > 0, "the server has closed the connection");
        Ok(received)
    }
}

/// What stands before the body of an answer.
struct Head {
    status: u16,
    length: usize,
    body: usize,
}

impl Head {
    /// `None` if not all of it has come.
    fn of(received: &[u8]) -> anyhow::Result<Option<Self>> {
        let end = received
            .windows(END_OF_HEAD.len())
            .position(|four| four == END_OF_HEAD);
        let Some(end) = end else { return Ok(None) };
        let text = std::str::from_utf8(&received[..end])?;
        let status = text.split(' ').nth(1).context("no status")?.parse()?;
        for line in text.lines().skip(1) {
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                return Ok(Some(Self {
                    status,
                    length: end + END_OF_HEAD.len(),
                    body: value.trim().parse()?,
                }));
            }
        }
        bail!("an answer does not say how long it is: {text}")
    }
}
