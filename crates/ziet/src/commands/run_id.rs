//! Ids of runs as people type them: the beginning is enough where only one run has it.

use ziet_core::RunId;

use crate::error::CliError;
use crate::remote::Server;
use crate::remote::documents::Run;

/// Characters of an id that are shown where there is not much room: ids that begin alike were made in the same millisecond.
const SHORT: usize = 18;

/// Hexadecimal digits of an id.
const DIGITS: usize = 32;

/// The id that begins so.
///
/// # Errors
/// When no run has it, or several do.
pub(super) fn find(server: &Server, typed: &str) -> Result<String, CliError> {
    if let Ok(id) = typed.parse::<RunId>() {
        return Ok(id.to_string());
    }
    let digits = typed.replace('-', "").to_lowercase();
    let is_id = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if digits.is_empty() || digits.len() > DIGITS || !is_id(&digits) {
        return Err(CliError::usage(format!(
            "{typed:?} is not the id of a run, nor its beginning"
        ))
        .hint("`ziet runs` lists the newest ones"));
    }
    // Lists go back in time from a place, which need not be that of a run.
    let last = format!("{digits:f<DIGITS$}");
    let found = server.list::<Run>("/v1/runs", &[("cursor", &last)], 2)?;
    let begins = |run: &Run| run.id.replace('-', "").starts_with(&digits);
    let mut fitting = found.items.iter().filter(|run| begins(run));
    match (fitting.next(), fitting.next()) {
        (Some(run), None) => Ok(run.id.clone()),
        (Some(run), Some(other)) => {
            let message = format!(
                "several runs begin with {typed}: {}, {} …",
                run.id, other.id
            );
            Err(CliError::usage(message).hint("type more of it"))
        }
        (None, _) => Err(CliError::usage(format!("no run begins with {typed}"))
            .hint("`ziet runs` lists the newest ones")),
    }
}

/// How much of these ids is to be shown to tell them apart, where there is not room for all of it.
pub(super) fn length<'a>(ids: impl Iterator<Item = &'a str>, width: Option<u16>) -> usize {
    const WHOLE: usize = 36;
    if width.is_none_or(|width| width >= 100) {
        return WHOLE;
    }
    let mut short: Vec<&str> = ids.map(|id| id.get(..SHORT).unwrap_or(id)).collect();
    let all = short.len();
    short.sort_unstable();
    short.dedup();
    if short.len() == all { SHORT } else { WHOLE }
}
