//! The program `ziet`: the command line.

mod cli;
mod commands;
mod complete;
mod error;
mod input;
mod output;
mod saves;
mod settings;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;

use crate::cli::{Cli, Command, RunCommand};
use crate::error::CliError;
use crate::output::Printer;
use crate::settings::Environment;

fn main() -> ExitCode {
    // A shell that asks for candidates gets them here, and the program ends.
    CompleteEnv::with_factory(Cli::command)
        .var(commands::ASKS)
        .complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let typed: Vec<String> = std::env::args().collect();
            let error = usage::explained(error, &typed);
            // Nobody is left to tell when it cannot be printed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let environment = Environment::read();
    let mut printer = Printer::new(&environment);
    let done = run(cli, &environment, &mut printer);
    match done.and_then(|status| printer.finish().map(|()| status)) {
        Ok(status) => status,
        Err(error) => {
            printer.error(&error);
            error.status()
        }
    }
}

fn run(cli: Cli, environment: &Environment, printer: &mut Printer) -> Result<ExitCode, CliError> {
    match cli.command {
        Command::Run(run) => match run.command {
            RunCommand::Action(action) => {
                commands::run_action(cli.local || run.local, &action, environment, printer)
            }
        },
        _ if cli.local => Err(CliError::usage("--local is for `ziet run`")),
        Command::Actions(actions) => commands::actions(&actions, environment, printer),
        Command::Init(init) => commands::init(&init, printer),
        Command::Completions(completions) => commands::completions(&completions, printer),
    }
}
