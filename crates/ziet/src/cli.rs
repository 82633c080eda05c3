//! What can be typed. Each doc comment is what `--help` says.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

use crate::commands;
use crate::settings::Flags;

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Durable Python functions
///
/// Put `@Action` on a function, and it runs in a process of its own, with retries, a time limit that really ends it,
/// errors kept with their stack, and memory shared with the actions that it calls.
#[derive(Debug, Parser)]
#[command(version, styles = STYLES, max_term_width = 100, after_help = "\
Try it: `ziet actions` lists the actions of the project in this folder, and `ziet run --local action NAME` runs one.")]
pub(crate) struct Cli {
    /// The same as after `run`, where it is shown.
    #[arg(long, hide = true)]
    pub(crate) local: bool,

    #[command(flatten)]
    pub(crate) settings: Flags,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(commands::Init),
    Run(Run),
    Dev(commands::Dev),
    Serve(commands::Serve),
    Prune(commands::Prune),
    Backup(commands::Backup),
    Restore(commands::Restore),
    Deploy(commands::Deploy),
    Deployments(commands::Deployments),
    Rollback(commands::Rollback),
    Env(commands::Env),
    Login(commands::Login),
    Logout(commands::Logout),
    Runs(commands::Runs),
    Logs(commands::Logs),
    Memory(commands::Memory),
    Keys(commands::Keys),
    Status(commands::StatusArgs),
    Actions(commands::Actions),
    Settings(commands::SettingsArgs),
    Limits(commands::LimitsArgs),
    Doctor(commands::DoctorArgs),
    Completions(commands::Completions),
}

/// Run something of the project
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Run on this machine, without a server: memory is gone with the run, and integrations are mocked
    #[arg(long, global = true)]
    pub(crate) local: bool,

    #[command(subcommand)]
    pub(crate) command: RunCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    Action(commands::RunAction),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn is_well_formed() {
        Cli::command().debug_assert();
    }
}
