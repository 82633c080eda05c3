//! One file for each command: a function that returns its exit status.

mod actions;
mod backup;
mod completions;
mod doctor;
mod inbox;
mod init;
mod limits;
mod local;
mod prune;
mod resolve;
mod restore;
mod retention;
mod run_action;
mod serve;
mod settings;
mod state;
mod watch;

pub(crate) use actions::{Actions, actions};
pub(crate) use backup::{Backup, backup};
pub(crate) use completions::{ASKS, Completions, completions};
pub(crate) use doctor::{DoctorArgs, doctor};
pub(crate) use init::{Init, init};
pub(crate) use limits::{LimitsArgs, limits};
pub(crate) use prune::{Prune, prune};
pub(crate) use restore::{Restore, restore};
pub(crate) use run_action::{RunAction, run_action};
pub(crate) use serve::{Serve, serve};
pub(crate) use settings::{SettingsArgs, settings};
pub(crate) use watch::Resolve;

use self::inbox::{Inbox, Incoming};
use self::local::Local;
use self::resolve::resolve;
