//! One request and its answer, and lists that come in pages.

use std::io::Read;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use ureq::http::{HeaderValue, Method, Request, Response};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};
use ureq::{Agent, AsSendBody, Body, SendBody};

use super::address::Address;
use super::fault::{self, Fault};
use super::stream::Stream;
use super::target::Target;
use crate::error::CliError;
use crate::settings::{Environment, Flags, OfClient};

/// Until a connection stands.
const CONNECT: Duration = Duration::from_secs(10);

/// Without a byte from the server. What is live has a comment every 15 seconds.
const SILENCE: Duration = Duration::from_secs(60);

/// Without a byte after what was uploaded, which the server looks through first.
const CHECKING: Duration = Duration::from_secs(300);

/// Before a request is made again whose answer got lost, or for which the server is not ready. It doubles, and beyond the
/// longest the request is given up.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// More than any answer has, so that a server that is none cannot fill the memory.
const LONGEST: u64 = 256 << 20;

const JSON: &str = "application/json";

/// The most that a page holds.
const PAGE: usize = 100;

/// Names and values of a query, not encoded yet.
pub(crate) type Query<'a> = &'a [(&'a str, &'a str)];

/// A server that can be asked. Clones share their connections.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    agent: Agent,
    pub(crate) address: Address,
    /// The header with the key.
    key: HeaderValue,
    project: Option<HeaderValue>,
}

#[derive(Deserialize)]
struct Page<T> {
    data: Vec<T>,
    pagination: Pagination,
}

#[derive(Deserialize)]
struct Pagination {
    next_cursor: Option<String>,
}

/// What was wanted of a list, and whether there is more.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    pub(crate) more: bool,
}

impl Server {
    /// The one that flags, variables and `ziet login` name. Nothing is sent yet.
    ///
    /// # Errors
    /// When no server is known, or what is said of it is wrong.
    pub(crate) fn find(
        flags: &Flags<OfClient>,
        environment: &Environment,
    ) -> Result<Self, CliError> {
        Self::new(Target::find(flags, environment)?)
    }

    /// # Errors
    /// When the key or the project cannot stand in a header, or no certificates are found to trust.
    pub(crate) fn new(target: Target) -> Result<Self, CliError> {
        let Target {
            address,
            key,
            project,
        } = target;
        let key = HeaderValue::try_from(format!("Api-Key {}", key.trim()));
        let mut key = key.map_err(|_| {
            CliError::usage("the key has characters that no key has").hint("keys begin with `sk_`")
        })?;
        key.set_sensitive(true);
        let server = Self {
            agent: agent(&address)?,
            address,
            key,
            project: None,
        };
        match project {
            Some(project) => server.of_project(&project),
            None => Ok(server),
        }
    }

    /// Whether it is asked about one project by name.
    pub(crate) fn names_project(&self) -> bool {
        self.project.is_some()
    }

    /// The same server, asked about this project.
    pub(crate) fn of_project(self, project: &str) -> Result<Self, CliError> {
        let name = HeaderValue::try_from(project)
            .map_err(|_| CliError::usage(format!("{project:?} is no id of a project")))?;
        Ok(Self {
            project: Some(name),
            ..self
        })
    }

    pub(crate) fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
    ) -> Result<T, CliError> {
        let get = || self.answer(self.request(Method::GET, path, query).body(()));
        patiently(get, |fault| fault.is_early)
    }

    pub(crate) fn delete<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
    ) -> Result<T, CliError> {
        let request = self.request(Method::DELETE, path, query);
        Ok(self.answer(request.body(()))?)
    }

    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        Ok(self.send(Method::POST, path, body)?)
    }

    /// For what may be asked several times, since the server does it once: it is asked again where the answer gets lost.
    pub(crate) fn post_once<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        let mut may_be_done = false;
        let post = || self.send(Method::POST, path, body);
        patiently(post, |fault| {
            may_be_done |= fault.may_be_done;
            fault.is_early || may_be_done && fault.is_passing
        })
    }

    pub(crate) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, CliError> {
        Ok(self.send(Method::PUT, path, body)?)
    }

    /// With a document as its body.
    fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Fault> {
        let text =
            serde_json::to_vec(body).map_err(|error| CliError::failed("the request", error))?;
        let request = self.request(method, path, &[]).header(CONTENT_TYPE, JSON);
        self.answer(request.body(text))
    }

    /// Sends so many bytes of `content` as they are read. The server may refuse them before the first one.
    pub(crate) fn upload<T: DeserializeOwned>(
        &self,
        path: &str,
        kind: &str,
        mut content: impl Read,
        length: u64,
    ) -> Result<T, CliError> {
        let request = self
            .request(Method::POST, path, &[])
            .header(CONTENT_TYPE, kind)
            .header(CONTENT_LENGTH, length)
            .header(EXPECT, "100-continue");
        let request = request.body(SendBody::from_reader(&mut content));
        let request = request.map_err(|error| CliError::failed("the request", error))?;
        let request = self.agent.configure_request(request);
        let sent = self
            .agent
            .run(request.timeout_per_read(Some(CHECKING)).build());
        let response = sent.map_err(|error| fault::unanswered(&self.address, &error))?;
        Ok(self.read(self.checked(response)?)?)
    }

    /// What of a list is wanted: at most so many.
    pub(crate) fn list<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
        most: usize,
    ) -> Result<Listed<T>, CliError> {
        self.list_after(path, query, "cursor", most)
    }

    /// `place` is the parameter that takes the next cursor; the query may have it, to begin there.
    pub(crate) fn list_after<T: DeserializeOwned>(
        &self,
        path: &str,
        query: Query<'_>,
        place: &str,
        most: usize,
    ) -> Result<Listed<T>, CliError> {
        let mut items = Vec::new();
        let mut cursor: Option<String> = None;
        loop {
            let limit = (most - items.len()).clamp(1, PAGE).to_string();
            let mut query = query.to_vec();
            query.push(("limit", &limit));
            if let Some(cursor) = &cursor {
                query.retain(|(name, _)| *name != place);
                query.push((place, cursor));
            }
            let page: Page<T> = self.get(path, &query)?;
            items.extend(page.data);
            cursor = page.pagination.next_cursor;
            if cursor.is_none() || items.len() >= most {
                let more = cursor.is_some() || items.len() > most;
                items.truncate(most);
                return Ok(Listed { items, more });
            }
        }
    }

    /// What is told live. It goes on after what was heard when the connection is lost.
    pub(crate) fn stream(&self, path: &str, query: Query<'_>) -> Stream {
        let query = query
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Stream::new(self.clone(), path.to_owned(), query.collect())
    }

    /// Opens a live answer that goes on after the event `last`.
    pub(super) fn live(
        &self,
        path: &str,
        query: Query<'_>,
        last: Option<&str>,
    ) -> Result<Response<Body>, Fault> {
        let mut request = self.request(Method::GET, path, query);
        request = request.header(ACCEPT, "text/event-stream");
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = self.run(request.body(()))?;
        let kind = response.headers().get(CONTENT_TYPE);
        if kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
            Ok(response)
        } else {
            Err(fault::not_ours(&self.address).into())
        }
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        query: Query<'_>,
    ) -> ureq::http::request::Builder {
        let mut url = format!("{}{path}", self.address.url);
        for (index, (name, value)) in query.iter().enumerate() {
            url.push(if index == 0 { '?' } else { '&' });
            url.push_str(name);
            url.push('=');
            url.extend(utf8_percent_encode(value, NON_ALPHANUMERIC));
        }
        let mut request = Request::builder().method(method).uri(url);
        request = request.header(AUTHORIZATION, &self.key);
        if let Some(project) = &self.project {
            request = request.header("Ziet-Project", project);
        }
        request
    }

    fn run(
        &self,
        request: ureq::http::Result<Request<impl AsSendBody>>,
    ) -> Result<Response<Body>, Fault> {
        let request = request.map_err(|error| CliError::failed("the request", error))?;
        let sent = self.agent.run(request);
        self.checked(sent.map_err(|error| fault::unanswered(&self.address, &error))?)
    }

    /// An answer that is a success.
    fn checked(&self, mut response: Response<Body>) -> Result<Response<Body>, Fault> {
        if response.status().is_success() {
            return Ok(response);
        }
        let body = body(&mut response).unwrap_or_default();
        Err(fault::refused(&self.address, &response, &body))
    }

    fn answer<T: DeserializeOwned>(
        &self,
        request: ureq::http::Result<Request<impl AsSendBody>>,
    ) -> Result<T, Fault> {
        let response = self.run(request)?;
        self.read(response)
    }

    fn read<T: DeserializeOwned>(&self, mut response: Response<Body>) -> Result<T, Fault> {
        let body = body(&mut response).map_err(|error| fault::unanswered(&self.address, &error))?;
        // Where there is nothing to say, there is no document.
        let text = if body.is_empty() { b"null" } else { &body[..] };
        serde_json::from_slice(text).map_err(|_| fault::not_ours(&self.address).into())
    }
}

/// Asks again, for a while, where that is worth it.
fn patiently<T>(
    ask: impl Fn() -> Result<T, Fault>,
    mut is_worth_it: impl FnMut(&Fault) -> bool,
) -> Result<T, CliError> {
    let mut pause = PAUSE;
    loop {
        match ask() {
            Err(fault) if pause < LONGEST_PAUSE && is_worth_it(&fault) => {
                thread::sleep(pause);
                pause *= 2;
            }
            done => return Ok(done?),
        }
    }
}

fn body(response: &mut Response<Body>) -> Result<Vec<u8>, ureq::Error> {
    response
        .body_mut()
        .with_config()
        .limit(LONGEST)
        .read_to_vec()
}

fn agent(address: &Address) -> Result<Agent, CliError> {
    let mut config = Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_per_read(Some(SILENCE))
        .timeout_per_write(Some(SILENCE))
        .user_agent(concat!("ziet/", env!("CARGO_PKG_VERSION")));
    if address.is_here() {
        config = config.proxy(None);
    }
    if address.encrypted {
        config = config.tls_config(trust()?);
    }
    Ok(Agent::new_with_config(config.build()))
}

/// Trusts those whom the system trusts, or whom `SSL_CERT_FILE` names.
fn trust() -> Result<TlsConfig, CliError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let hint = "install the system's certificates (`ca-certificates`), or name a file of them: SSL_CERT_FILE=ca.pem";
        let error = found.errors.into_iter().next();
        return Err(error
            .map_or_else(
                || CliError::broken("there are no certificates to trust"),
                |error| CliError::failed("there are no certificates to trust", error),
            )
            .hint(hint));
    }
    let certificates = found.certs.iter();
    let roots: RootCerts = certificates
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .into();
    Ok(TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .root_certs(roots)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build())
}
