//! How a command can fail, and the exit status that tells it. `Printer` is the one that speaks.

use std::error::Error;
use std::process::ExitCode;

use ziet_engine::EngineError;

#[derive(Clone, Debug)]
pub(crate) struct CliError {
    kind: Kind,
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The stable code by which a server told it.
    pub(crate) code: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Wrong usage or wrong input.
    Usage,
    Failed,
    Interrupted,
}

impl CliError {
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            message: message.into(),
            hint: None,
            code: None,
        }
    }

    /// Wrong input, with the causes of `error`.
    pub(crate) fn refused(what: &str, error: impl Error) -> Self {
        Self {
            kind: Kind::Usage,
            ..Self::failed(what, error)
        }
    }

    /// With the causes of `error`, the last one last.
    pub(crate) fn failed(what: &str, error: impl Error) -> Self {
        Self {
            kind: Kind::Failed,
            message: format!("{what}: {}", chain(&error)),
            hint: None,
            code: None,
        }
    }

    /// For what is told in whole already.
    pub(crate) fn broken(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            message: message.into(),
            hint: None,
            code: None,
        }
    }

    pub(crate) fn interrupted() -> Self {
        Self {
            kind: Kind::Interrupted,
            message: "interrupted".to_owned(),
            hint: None,
            code: None,
        }
    }

    pub(crate) fn is_interrupt(&self) -> bool {
        self.kind == Kind::Interrupted
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Whether a server has told it by this code.
    pub(crate) fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    pub(crate) fn status(&self) -> ExitCode {
        ExitCode::from(match self.kind {
            Kind::Failed => 1,
            Kind::Usage => 2,
            Kind::Interrupted => 130,
        })
    }
}

impl From<EngineError> for CliError {
    fn from(error: EngineError) -> Self {
        Self {
            kind: Kind::Failed,
            message: chain(&error),
            hint: None,
            code: None,
        }
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // An error that only passes another on says the same.
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
