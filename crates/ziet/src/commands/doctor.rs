//! `ziet doctor`: looks at everything that a run needs, and says what to do where something is wrong.
//!
//! Every check is made, whatever the others find: who asks for help has more than one thing to tell.

mod machine;
mod python;
mod walls;

use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use super::{Inbox, Local};
use crate::error::CliError;
use crate::output::{GREEN, Printer, RED, Table, YELLOW, counted};
use crate::settings::Settings;

/// Check what it takes to run actions here, and say what to do where something is wrong
///
/// The exit status is 1 if there is a problem, 0 if there are only warnings.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// One thing that was looked at.
#[derive(Serialize)]
struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    status: Status,
    found: String,
    /// What to do.
    advice: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    /// Runs work, but not as well as they could.
    Warning,
    /// Runs do not work.
    Problem,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            status: Status::Ok,
            found: found.into(),
            advice: None,
        }
    }

    fn warning(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            status: Status::Warning,
            advice: Some(advice.into()),
            ..Self::ok(name, found)
        }
    }

    fn problem(name: &'static str, error: CliError) -> Self {
        Self {
            status: Status::Problem,
            advice: error.hint,
            ..Self::ok(name, error.message)
        }
    }
}

pub(crate) fn doctor(
    args: &DoctorArgs,
    settings: Result<Settings, CliError>,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let mut checks = vec![program()];
    match settings {
        Ok(settings) => {
            checks.push(project(&settings));
            checks.extend(python::checks(&settings));
            // Whatever hinders Python would be told a second time.
            if checks.iter().all(|check| check.status != Status::Problem) {
                checks.push(actions(&settings, printer));
            }
            checks.extend(machine::checks(Some(&settings)));
        }
        Err(error) => {
            checks.push(Check::problem("settings", error));
            checks.extend(machine::checks(None));
        }
    }
    let problems = checks.iter().any(|check| check.status == Status::Problem);
    if args.json {
        printer.document(&checks)?;
    } else {
        printer.table(table(checks));
    }
    Ok(ExitCode::from(u8::from(problems)))
}

fn table(checks: Vec<Check>) -> Table {
    let mut table = Table::new(&["check", "status", "found"]);
    for check in checks {
        let (style, word) = match check.status {
            Status::Ok => (GREEN, "ok"),
            Status::Warning => (YELLOW, "warning"),
            Status::Problem => (RED, "problem"),
        };
        let advice = check.advice.map(|advice| format!("\n→ {advice}"));
        let found = check.found + &advice.unwrap_or_default();
        table.styled(style, [check.name.to_owned(), word.to_owned(), found]);
    }
    table
}

fn program() -> Check {
    let version = env!("CARGO_PKG_VERSION");
    let path = std::env::current_exe()
        .map_or_else(|error| error.to_string(), |path| path.display().to_string());
    Check::ok("ziet", format!("{version} at {path}"))
}

fn project(settings: &Settings) -> Check {
    let why = settings.file().map_or_else(
        || "there is no ziet.toml and no [tool.ziet], here or above".to_owned(),
        |file| format!("it has a {file}"),
    );
    Check::ok("project", format!("{} ({why})", settings.root().display()))
}

/// Imports the project, as a run would.
fn actions(settings: &Settings, printer: &Printer) -> Check {
    const NAME: &str = "actions";
    let inbox = Inbox::open();
    let local = inbox
        .as_ref()
        .map_err(Clone::clone)
        .and_then(|inbox| Local::start(settings, false, inbox, printer));
    let local = match local {
        Ok(local) => local,
        Err(error) => return Check::problem(NAME, error),
    };
    let actions = counted(local.catalogue.actions().len(), "action");
    let modules = counted(local.project.modules.len(), "module");
    let found = format!("{actions} in {modules}");
    if let Some(problem) = local.catalogue.problems.first() {
        let (headline, message) = (problem.headline(), &problem.message);
        let error = CliError::usage(format!("{found}; {headline}: {message}"));
        return Check::problem(NAME, error.hint("`ziet actions` shows the traceback"));
    }
    if let Err(error) = settings.check_inputs(&local.catalogue) {
        return Check::problem(NAME, error);
    }
    match local.require_actions() {
        Ok(()) => Check::ok(NAME, found),
        Err(error) => Check::warning(NAME, found, error.hint.unwrap_or_default()),
    }
}
