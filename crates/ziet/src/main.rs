//! The program `ziet`: the command line.

mod cli;
mod commands;
mod error;
mod input;
mod output;
#[cfg(test)]
mod reference;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, RunCommand};
use crate::error::CliError;
use crate::output::Printer;
use crate::settings::{Environment, Settings};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let environment = Environment::read();
    let settings = Settings::resolve(&cli.settings, &environment);
    let mut printer = Printer::new(environment.dumb_terminal);
    if let Ok(settings) = &settings {
        settings.color().write_global();
        printer = Printer::new(settings.ascii());
    }
    let done = run(cli, settings, &mut printer);
    match done.and_then(|status| printer.finish().map(|()| status)) {
        Ok(status) => status,
        Err(error) => {
            printer.error(&error);
            error.status()
        }
    }
}

fn run(
    cli: Cli,
    settings: Result<Settings, CliError>,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    if let Ok(settings) = &settings {
        settings
            .warnings
            .iter()
            .for_each(|warning| printer.warning(warning));
    }
    match cli.command {
        Command::Run(run) => match run.command {
            RunCommand::Action(action) => {
                commands::run_action(cli.local || run.local, &action, &settings?, printer)
            }
        },
        _ if cli.local => Err(CliError::usage("--local is for `ziet run`")),
        Command::Actions(actions) => commands::actions(&actions, &settings?, printer),
        Command::Settings(args) => commands::settings(&args, &settings?, printer),
        Command::Limits(args) => commands::limits(&args, printer),
        Command::Doctor(args) => commands::doctor(&args, settings, printer),
    }
}
