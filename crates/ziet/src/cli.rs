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
    Run(Run),
    Actions(Actions),
    Settings(commands::SettingsArgs),
    Limits(commands::LimitsArgs),
    Doctor(commands::DoctorArgs),
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
    Action(RunAction),
}

/// Run an action and show what it does
///
/// Lines appear as things happen; the last one is what the run left in memory. The exit status is 0 when the run
/// completed, 1 when it failed, 2 for wrong usage or wrong input, and 130 when it was interrupted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ziet run --local action process_payment                      with test data
  ziet run --local action process_payment -p amount=10 -p currency=eur
  ziet run --local action process_payment --input '{\"amount\": 10}'
  ziet run --local action process_payment --input @payment.json --json | jq .memory")]
pub(crate) struct RunAction {
    /// The action: its id, else its function's name or `module.function`
    pub(crate) name: String,

    /// The parameters as a JSON object: the text itself, @FILE, or - for standard input
    ///
    /// Without --input and -p, parameters come from the action's table `[inputs."<id>"]` in `ziet.toml`. Those that are
    /// missing there and have no default get test data: the example in the docstring (`e.g., "CA"`), else something
    /// that fits the type.
    #[arg(long, value_name = "JSON|@FILE|-")]
    pub(crate) input: Option<String>,

    /// One parameter; goes before the same one in --input. The value is JSON, or plain text where the hint is str
    #[arg(short, long = "param", value_name = "KEY=VALUE")]
    pub(crate) param: Vec<String>,

    /// Print the run as one JSON document on standard output, and the lines on standard error
    #[arg(long)]
    pub(crate) json: bool,

    /// The memory to use on a server; a local run always has a new one
    #[arg(long, value_name = "ID")]
    pub(crate) memory: Option<String>,
}

/// List the actions of the project
///
/// The project is the nearest folder, from here upwards, with a `ziet.toml` or a `[tool.ziet]` table in its
/// `pyproject.toml`, else this folder. Actions are looked for in the modules that it names
/// (`modules = ["actions"]`), else in those that import ziet.
#[derive(Debug, Args)]
pub(crate) struct Actions {
    /// Print one JSON document
    #[arg(long)]
    pub(crate) json: bool,
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
