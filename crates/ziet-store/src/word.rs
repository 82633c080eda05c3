//! The words that stand in the tables for the domain's plain enums. They are the same that documents show.
//!
//! A word never changes its meaning: rows of last year are read with it.

use ziet_core::Scope;
use ziet_core::deployment::DeploymentStatus;
use ziet_core::retry::Backoff;
use ziet_core::run::{OnLost, Outcome, Status, WaitingOn};
use ziet_core::wire::Level;

/// An enum that is stored as a word.
pub(crate) trait Word: Copy + 'static {
    const ALL: &'static [Self];

    fn word(self) -> &'static str;

    fn from_word(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|one| one.word() == text)
    }
}

impl Word for Status {
    const ALL: &'static [Self] = &[
        Self::Created,
        Self::Scheduled,
        Self::Queued,
        Self::Running,
        Self::Retrying,
        Self::Waiting,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Scheduled => "scheduled",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Waiting => "waiting",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Word for WaitingOn {
    const ALL: &'static [Self] = &[Self::Children, Self::Approval, Self::Memory, Self::Time];

    fn word(self) -> &'static str {
        match self {
            Self::Children => "children",
            Self::Approval => "approval",
            Self::Memory => "memory",
            Self::Time => "time",
        }
    }
}

impl Word for Outcome {
    const ALL: &'static [Self] = &[
        Self::Completed,
        Self::Failed,
        Self::TimedOut,
        Self::OutOfMemory,
        Self::Crashed,
        Self::Lost,
        Self::Cancelled,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::OutOfMemory => "out_of_memory",
            Self::Crashed => "crashed",
            Self::Lost => "lost",
            Self::Cancelled => "cancelled",
        }
    }
}

impl Word for Backoff {
    const ALL: &'static [Self] = &[Self::Exponential, Self::None];

    fn word(self) -> &'static str {
        match self {
            Self::Exponential => "exponential",
            Self::None => "none",
        }
    }
}

impl Word for OnLost {
    const ALL: &'static [Self] = &[Self::Rerun, Self::Fail];

    fn word(self) -> &'static str {
        match self {
            Self::Rerun => "rerun",
            Self::Fail => "fail",
        }
    }
}

impl Word for Level {
    const ALL: &'static [Self] = &[Self::Info, Self::Warn, Self::Error];

    fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

impl Word for Scope {
    const ALL: &'static [Self] = &[Self::Admin, Self::Deploy, Self::Run, Self::Read];

    fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Deploy => "deploy",
            Self::Run => "run",
            Self::Read => "read",
        }
    }
}

impl Word for DeploymentStatus {
    const ALL: &'static [Self] = &[Self::Building, Self::Ready, Self::Failed, Self::Removed];

    fn word(self) -> &'static str {
        match self {
            Self::Building => "building",
            Self::Ready => "ready",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comes_back<W: Word + PartialEq + std::fmt::Debug>() {
        for one in W::ALL {
            assert_eq!(W::from_word(one.word()), Some(*one));
        }
        assert_eq!(W::from_word("something else"), None);
    }

    #[test]
    fn every_word_is_read_as_what_wrote_it() {
        comes_back::<Status>();
        comes_back::<WaitingOn>();
        comes_back::<Outcome>();
        comes_back::<Backoff>();
        comes_back::<OnLost>();
        comes_back::<Level>();
        comes_back::<Scope>();
        comes_back::<DeploymentStatus>();
    }

    #[test]
    fn they_are_the_words_of_the_documents() {
        for status in Status::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.word());
        }
        for outcome in Outcome::ALL {
            assert_eq!(serde_json::to_value(outcome).unwrap(), outcome.word());
        }
        for status in DeploymentStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.word());
        }
        for on in WaitingOn::ALL {
            assert_eq!(serde_json::to_value(on).unwrap(), on.word());
        }
    }
}
