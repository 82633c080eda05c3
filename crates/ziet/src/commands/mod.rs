//! One file for each command: a function that returns its exit status.

mod actions;
mod completions;
mod doctor;
mod inbox;
mod init;
mod limits;
mod local;
mod resolve;
mod run_action;
mod settings;
mod watch;

pub(crate) use actions::{Actions, actions};
pub(crate) use completions::{ASKS, Completions, completions};
pub(crate) use doctor::{DoctorArgs, doctor};
pub(crate) use init::{Init, init};
pub(crate) use limits::{LimitsArgs, limits};
pub(crate) use run_action::{RunAction, run_action};
pub(crate) use settings::{SettingsArgs, settings};
pub(crate) use watch::Resolve;

use self::inbox::{Inbox, Incoming};
use self::local::Local;
use self::resolve::resolve;
