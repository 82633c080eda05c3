//! Why a request came to nothing, in words: no answer, one that is not of Ziet, or a problem that the server tells.

use std::fmt::Write;
use std::io::{self, ErrorKind};

use serde::Deserialize;
use ureq::http::Response;
use ureq::http::header::{LOCATION, RETRY_AFTER};
use ureq::{Body, Error, Timeout};

use super::address::Address;
use crate::error::CliError;

/// What went wrong, and whether the same request may work in a moment.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) error: CliError,
    pub(crate) is_passing: bool,
    /// Whether the server may have done what was asked for.
    pub(crate) may_be_done: bool,
    /// Whether the server has only just been started.
    pub(crate) is_early: bool,
}

/// What is wrong with the request itself.
impl From<CliError> for Fault {
    fn from(error: CliError) -> Self {
        Self {
            error,
            is_passing: false,
            may_be_done: false,
            is_early: false,
        }
    }
}

impl From<Fault> for CliError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

/// The body of an answer that is not a success (RFC 9457), as far as it is read here.
#[derive(Deserialize)]
struct Problem {
    code: String,
    detail: String,
    #[serde(default)]
    errors: Vec<Wrong>,
}

#[derive(Deserialize)]
struct Wrong {
    pointer: String,
    message: String,
}

/// No answer came, or it broke off.
pub(super) fn unanswered(address: &Address, error: &Error) -> Fault {
    let url = &address.url;
    let is_before = match error {
        Error::HostNotFound | Error::Timeout(Timeout::Connect | Timeout::Resolve) => true,
        Error::Io(io) => io.kind() == ErrorKind::ConnectionRefused || is_unknown_name(io),
        _ => false,
    };
    let (error, is_passing) = match error {
        Error::HostNotFound => (no_such_name(address), true),
        Error::Io(io) if is_unknown_name(io) => (no_such_name(address), true),
        Error::Io(io) if io.kind() == ErrorKind::ConnectionRefused => {
            let error = CliError::broken(format!("nothing listens at {url}"));
            (
                error.hint("start the server with `ziet serve`, or name another one with --server"),
                true,
            )
        }
        Error::Io(io) if of_tls(io.get_ref()).is_some() => {
            (untrusted(address, of_tls(io.get_ref())), false)
        }
        Error::Rustls(tls) => (untrusted(address, Some(tls)), false),
        Error::Tls(_) => (untrusted(address, None), false),
        Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
            let error = CliError::broken(format!("{url} does not answer"));
            (
                error
                    .hint("check the URL and the network; something between may drop what is sent"),
                true,
            )
        }
        Error::Timeout(_) => (
            CliError::broken(format!("{url} has stopped to answer")),
            true,
        ),
        Error::Protocol(_) => (not_ours(address), false),
        error => (
            CliError::failed(&format!("the request to {url}"), error),
            true,
        ),
    };
    Fault {
        error,
        is_passing,
        may_be_done: is_passing && !is_before,
        is_early: false,
    }
}

/// The standard library has no kind for it.
fn is_unknown_name(error: &io::Error) -> bool {
    error.to_string().contains("failed to lookup address")
}

fn no_such_name(address: &Address) -> CliError {
    let authority = &address.authority;
    CliError::broken(format!(
        "{authority} cannot be found: nothing has this name"
    ))
    .hint("check how it is spelled, and the network")
}

fn of_tls<'a>(
    error: Option<&'a (dyn std::error::Error + Send + Sync + 'static)>,
) -> Option<&'a rustls::Error> {
    error?.downcast_ref()
}

/// No connection that is encrypted with somebody who is known.
fn untrusted(address: &Address, error: Option<&rustls::Error>) -> CliError {
    use rustls::CertificateError as Certificate;
    let (url, authority) = (&address.url, &address.authority);
    let broken = |what: &str| CliError::broken(format!("{url} {what}"));
    match error {
        Some(rustls::Error::InvalidCertificate(Certificate::UnknownIssuer)) => {
            broken("has a certificate that nobody has signed whom this machine trusts")
                .hint("if it is yours, name the certificate of who signed it: SSL_CERT_FILE=ca.pem")
        }
        Some(rustls::Error::InvalidCertificate(
            Certificate::NotValidForName | Certificate::NotValidForNameContext { .. },
        )) => broken("has a certificate for other names")
            .hint("call the server by a name that its certificate has"),
        Some(rustls::Error::InvalidCertificate(
            Certificate::Expired | Certificate::ExpiredContext { .. },
        )) => broken("has a certificate that has expired").hint(
            "put a new one into the place of its --tls-cert; and check the clock of this machine",
        ),
        Some(rustls::Error::InvalidMessage(_)) => broken("does not speak TLS").hint(format!(
            "if it is meant to be without encryption: http://{authority}"
        )),
        Some(error) => CliError::failed(&format!("no encrypted connection to {url}"), error),
        None => broken("cannot be connected to with encryption"),
    }
}

/// Somebody else answers, or in words that are not known.
pub(super) fn not_ours(address: &Address) -> CliError {
    let version = env!("CARGO_PKG_VERSION");
    let hint = if address.encrypted {
        format!("check the URL; this is ziet {version}")
    } else {
        format!("check the URL (a server with --tls-cert needs https://); this is ziet {version}")
    };
    CliError::broken(format!(
        "{} does not answer as a Ziet server does",
        address.url
    ))
    .hint(hint)
}

/// What the server says, with what to do about it.
pub(super) fn refused(address: &Address, response: &Response<Body>, body: &[u8]) -> Fault {
    let status = response.status().as_u16();
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
    };
    if response.status().is_redirection() {
        return redirected(address, header(LOCATION)).into();
    }
    let is_passing = matches!(status, 429 | 502 | 503 | 504);
    let Ok(problem) = serde_json::from_slice::<Problem>(body) else {
        let mut error = not_ours(address);
        error.message = format!(
            "{} answers with status {status}, and not as a Ziet server does",
            address.url
        );
        return Fault {
            error,
            is_passing,
            may_be_done: is_passing,
            is_early: false,
        };
    };
    let is_early = problem.code == "not_ready";
    Fault {
        error: told(address, status, problem, header(RETRY_AFTER)),
        is_passing,
        may_be_done: false,
        is_early,
    }
}

/// A problem, in the server's words.
fn told(address: &Address, status: u16, problem: Problem, retry_after: Option<&str>) -> CliError {
    let Problem {
        code,
        detail,
        errors,
    } = problem;
    if matches!(&*code, "not_found" | "method_not_allowed") {
        let (url, version) = (&address.url, env!("CARGO_PKG_VERSION"));
        let message = format!("{url} does not know this request: it is older than this program");
        return CliError::broken(message)
            .hint(format!("upgrade the server; this is ziet {version}"))
            .code(code);
    }
    let mut message = detail;
    for Wrong {
        pointer,
        message: what,
    } in errors
    {
        let _ = if pointer.is_empty() {
            write!(message, "\n  {what}")
        } else {
            write!(message, "\n  {pointer}: {what}")
        };
    }
    let mut error = match status {
        400 | 404 | 413 | 422 => CliError::usage(message),
        _ => CliError::broken(message),
    };
    error.hint = hint(address, &code, retry_after);
    error.code(code)
}

fn redirected(address: &Address, location: Option<&str>) -> CliError {
    let to = location.unwrap_or("another place");
    CliError::broken(format!(
        "{} sends to {to}, where the key is not sent",
        address.url
    ))
    .hint("if that is the server, name it by that URL: `ziet login URL`")
}

fn hint(address: &Address, code: &str, retry_after: Option<&str>) -> Option<String> {
    let url = &address.url;
    Some(match code {
        "key_missing" | "key_invalid" => {
            format!("`ziet login {url}` keeps another key; the first one of a server stands in its state folder")
        }
        "scope_missing" => "`ziet keys create NAME --scope SCOPE` makes a key that may do it; who has a key with the scope `admin` can do that".to_owned(),
        "wrong_project" | "project_not_found" | "project_required" => {
            format!("name the project: `ziet login {url} --project ID`")
        }
        "host_not_allowed" => format!("start the server with --host {}", address.host()),
        "run_not_found" => "`ziet runs` lists the newest ones".to_owned(),
        "action_not_found" => "`ziet actions --server NAME|URL` lists those of a server".to_owned(),
        "draining" | "not_ready" | "store_unavailable" | "too_many_connections" => "try again in a moment".to_owned(),
        "too_many_requests" | "too_many_runs" => {
            let seconds = retry_after?;
            format!("try again in {seconds} s")
        }
        _ => return None,
    })
}
