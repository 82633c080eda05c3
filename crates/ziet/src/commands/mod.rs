//! One file for each command: a function that returns its exit status.

mod actions;
mod completions;
mod inbox;
mod init;
mod local;
mod resolve;
mod run_action;
mod watch;

pub(crate) use actions::{Actions, actions};
pub(crate) use completions::{ASKS, Completions, completions};
pub(crate) use init::{Init, init};
pub(crate) use run_action::{RunAction, run_action};

use self::inbox::{Inbox, Incoming};
use self::local::Local;
use self::resolve::resolve;
