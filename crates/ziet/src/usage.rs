//! What to do about a command line that is not understood, where clap cannot know: what actions and their parameters are.

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::output::quoted;

/// Adds a tip to the error of a command line, in the place of clap's own; not where clap knows a word like the one typed.
pub(crate) fn explained(mut error: Error, typed: &[String]) -> Error {
    if let Some(tip) = tip(&error, typed) {
        error.insert(
            ContextKind::Suggested,
            ContextValue::StyledStrs(vec![tip.into()]),
        );
    }
    error
}

fn tip(error: &Error, typed: &[String]) -> Option<String> {
    let word = |kind| match error.get(kind) {
        Some(ContextValue::String(word)) => Some(word.as_str()),
        _ => None,
    };
    match error.kind() {
        ErrorKind::InvalidSubcommand if error.get(ContextKind::SuggestedSubcommand).is_none() => {
            let name = quoted(word(ContextKind::InvalidSubcommand)?);
            Some(format!(
                "to run an action of this name: `ziet run --local action {name}`"
            ))
        }
        ErrorKind::UnknownArgument
            if error.get(ContextKind::SuggestedArg).is_none()
                && typed.iter().any(|word| word == "action") =>
        {
            as_parameter(word(ContextKind::InvalidArg)?)
        }
        _ => None,
    }
}

/// What was typed after an action's name in a way that other programs have.
fn as_parameter(word: &str) -> Option<String> {
    if word.starts_with('{') {
        return Some(format!(
            "to give the parameters as JSON: `--input {}`",
            quoted(word)
        ));
    }
    let long = word.strip_prefix("--");
    let given = long.unwrap_or(word);
    let parameter = match given.split_once('=') {
        Some(_) => quoted(given),
        None if long.is_some() => format!("{}=VALUE", given.replace('-', "_")),
        None if given.starts_with('-') => return None,
        None => format!("NAME={}", quoted(given)),
    };
    Some(format!("to give a parameter: `-p {parameter}`"))
}
