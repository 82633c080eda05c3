//! The server's log, on standard error: text for people, or one JSON object in each line.

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::settings::{LogFormat, Serving};

/// From now on this process logs.
pub(super) fn start(serving: &Serving) {
    // What libraries say matters only when something is wrong.
    let level = serving.log_level.parse().unwrap_or(LevelFilter::INFO);
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("ziet", level);
    // A terminal that was closed, or a full disk, must not end the server: there is nobody to tell.
    let lines = fmt::layer()
        .with_writer(io::stderr)
        .with_target(false)
        .log_internal_errors(false);
    let lines = match serving.log_format {
        LogFormat::Text => lines.with_ansi(io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Fails only where this process logs already.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
}
