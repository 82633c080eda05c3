//! The program `ziet`: the command line.

mod cli;
mod commands;
mod complete;
mod error;
mod input;
mod output;
#[cfg(test)]
mod reference;
mod remote;
mod saves;
mod settings;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use clap_complete::CompleteEnv;
use ziet_worker::sandbox;

use crate::cli::{Cli, Command, RunCommand};
use crate::commands::Resolve;
use crate::error::CliError;
use crate::output::Printer;
use crate::settings::{Environment, Look, Settings};

fn main() -> ExitCode {
    if let Some(status) = sandbox::launch_if_asked(std::env::args_os()) {
        return status;
    }
    // A shell that asks for candidates gets them here, and the program ends.
    CompleteEnv::with_factory(Cli::command)
        .var(commands::ASKS)
        .complete();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let typed = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
            let typed: Vec<String> = typed.collect();
            let error = usage::explained(error, &typed);
            // Nobody is left to tell when it cannot be printed.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let environment = Environment::read();
    let resolve = || Settings::resolve(&cli.settings, &environment);
    let settings = resolve();
    let look = settings.as_ref().map_or_else(
        |_| Look::without_file(&cli.settings, &environment),
        Settings::look,
    );
    look.color.write_global();
    let mut printer = Printer::new(look.ascii);
    let done = run(&cli, settings, &resolve, &environment, &mut printer);
    match done.and_then(|status| printer.finish().map(|()| status)) {
        Ok(status) => status,
        Err(error) => {
            printer.error(&error);
            error.status()
        }
    }
}

fn run(
    cli: &Cli,
    settings: Result<Settings, CliError>,
    resolve: &Resolve<'_>,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    if let Ok(settings) = &settings {
        settings
            .warnings
            .iter()
            .for_each(|warning| printer.warning(warning));
    }
    let projects = cli.settings.each_project();
    if projects.len() > 1 && !matches!(cli.command, Command::Serve(_)) {
        return Err(CliError::usage(
            "--project is given several times: only `ziet serve` takes more than one",
        ));
    }
    match &cli.command {
        Command::Run(run) => match &run.command {
            RunCommand::Action(action) if cli.local || run.local => {
                commands::run_action(action, &settings?, resolve, printer)
            }
            RunCommand::Action(action) => {
                commands::run_on_server(action, &cli.settings, environment, printer)
            }
        },
        _ if cli.local => Err(CliError::usage("--local is for `ziet run`")),
        Command::Serve(args) => commands::serve(args, &cli.settings, environment),
        Command::Dev(args) => commands::dev(args, &cli.settings, environment, printer),
        Command::Prune(args) => commands::prune(args, environment, printer),
        Command::Backup(args) => commands::backup(args, environment, printer),
        Command::Restore(args) => commands::restore(args, environment, printer),
        Command::Deploy(args) => commands::deploy(args, &cli.settings, environment, printer),
        Command::Deployments(args) => commands::deployments(args, environment, printer),
        Command::Rollback(args) => commands::rollback(args, environment, printer),
        Command::Env(args) => commands::env(args, environment, printer),
        Command::Login(args) => commands::login(args, environment, printer),
        Command::Logout(args) => commands::logout(args, environment, printer),
        Command::Runs(args) => commands::runs(args, environment, printer),
        Command::Logs(args) => commands::logs(args, environment, printer),
        Command::Memory(args) => commands::memory(args, environment, printer),
        Command::Status(args) => commands::status(args, environment, printer),
        Command::Keys(args) => commands::keys(args, environment, printer),
        Command::Actions(args) => commands::actions(args, settings, environment, printer),
        Command::Settings(args) => commands::settings(args, &settings?, printer),
        Command::Limits(args) => commands::limits(args, printer),
        Command::Doctor(args) => commands::doctor(args, settings, printer),
        Command::Init(_) if cli.settings.is_given("project") => Err(CliError::usage(
            "--project is not for `ziet init`: name the folder after it",
        )),
        Command::Init(args) => commands::init(args, printer),
        Command::Completions(args) => commands::completions(args, printer),
    }
}
