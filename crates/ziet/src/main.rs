//! The program `ziet`: the command line.

mod cli;
mod commands;
mod error;
mod input;
mod output;
mod settings;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, RunCommand};
use crate::error::CliError;
use crate::output::Printer;
use crate::settings::Environment;

fn main() -> ExitCode {
    let Cli { command } = Cli::parse();
    let environment = Environment::read();
    let mut printer = Printer::new(&environment);
    match run(command, &environment, &mut printer) {
        Ok(status) => status,
        Err(error) => {
            printer.error(&error);
            error.status()
        }
    }
}

fn run(
    command: Command,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    match command {
        Command::Run(run) => match run.command {
            RunCommand::Action(action) => {
                commands::run_action(run.local, &action, environment, printer)
            }
        },
        Command::Actions(actions) => commands::actions(&actions, environment, printer),
    }
}
