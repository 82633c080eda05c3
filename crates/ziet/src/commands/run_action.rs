//! `ziet run --local action NAME`: the engine on a store in memory, with one run in it.

use std::collections::HashSet;
use std::process::ExitCode;
use std::sync::atomic::Ordering::Relaxed;

use ziet_core::action::{ActionSpec, Unresolved};
use ziet_core::memory::Newest;
use ziet_core::run::{Cancelled, Status};
use ziet_core::{ErrorCode, Json, RunId};
use ziet_engine::{EngineError, Happening, MadeInput, Notice, Submission};

use super::{Incoming, Local, tell_problems};
use crate::cli::RunAction;
use crate::error::CliError;
use crate::input;
use crate::output::{LocalEnding, LocalRun, Printer};
use crate::settings::Settings;

pub(crate) fn run_action(
    local: bool,
    args: &RunAction,
    settings: &Settings,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    if !local {
        let hint = format!(
            "run it on this machine with `ziet run --local action {}`",
            args.name
        );
        return Err(CliError::usage("there is no server to run it on").hint(hint));
    }
    if args.memory.is_some() {
        return Err(CliError::usage(
            "--memory is for a server: a local run has a memory of its own",
        ));
    }
    let given = input::read(args.input.as_deref())?;
    let local = Local::start(settings)?;
    tell_problems(&local.catalogue, printer);
    let spec = resolve(&local, &args.name)?;
    settings.check_inputs(&local.catalogue)?;
    let input = match input::combine(spec, given, &args.param)? {
        Some(input) => input,
        None => test_data(&local, spec, settings, printer)?,
    };
    if args.json {
        printer.lines_to_stderr();
    }
    let mut lines = LocalRun::begin(printer, spec.id.clone(), &args.name);
    for (level, text) in &local.printed {
        lines.output(*level, text);
    }
    let run = submit(&local, spec, input)?;
    let interrupted = watch(&local, run, &mut lines)?;
    conclude(&local, run, interrupted, lines, args.json)
}

fn resolve<'a>(local: &'a Local, name: &str) -> Result<&'a ActionSpec, CliError> {
    local.require_actions()?;
    local.catalogue.resolve(name).map_err(|unresolved| {
        let list = |ids: &[ziet_core::ActionId]| {
            ids.iter()
                .map(|id| format!("`{id}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        match unresolved {
            Unresolved::Unknown { .. } if !local.catalogue.problems.is_empty() => {
                CliError::usage(format!("no action `{name}`"))
                    .hint("it may be in a module that does not import, see above")
            }
            Unresolved::Unknown { nearest } if nearest.is_empty() => {
                CliError::usage(format!("no action `{name}`"))
                    .hint("`ziet actions` lists those there are")
            }
            Unresolved::Unknown { nearest } => CliError::usage(format!("no action `{name}`"))
                .hint(format!("the nearest names: {}", list(&nearest))),
            Unresolved::Ambiguous { candidates } => {
                let message = format!("`{name}` fits several actions: {}", list(&candidates));
                CliError::usage(message).hint("give the id of one of them")
            }
        }
    })
}

/// What the project's file has for the action; what that leaves out is made, which is told.
fn test_data(
    local: &Local,
    spec: &ActionSpec,
    settings: &Settings,
    printer: &Printer,
) -> Result<Json, CliError> {
    let given = settings.input(&spec.id);
    if given.is_none() && !spec.parameters.iter().any(|parameter| parameter.required) {
        return Ok(Json::empty_object());
    }
    local
        .engine
        .make_input(spec.id.clone(), given.unwrap_or_else(Json::empty_object));
    loop {
        match local.incoming.recv() {
            Ok(Incoming::Notice(Notice::InputMade(made))) => {
                let MadeInput { input, made } = made.map_err(CliError::usage)?;
                if !made.is_empty() {
                    printer.note(format_args!("test data: {}", made.join(", ")));
                }
                return Ok(input);
            }
            Ok(Incoming::Notice(Notice::Broken(error))) => return Err(error.into()),
            // The zygote died of making it.
            Ok(Incoming::Notice(Notice::Loaded(_))) => {
                return Err(CliError::usage("test data could not be made")
                    .hint("give the parameters with -p"));
            }
            Ok(Incoming::Notice(Notice::Printed { .. } | Notice::Run { .. })) => {}
            Ok(Incoming::Interrupt) => return Err(CliError::interrupted()),
            Err(_) => return Err(EngineError::Stopped.into()),
        }
    }
}

fn submit(local: &Local, spec: &ActionSpec, input: Json) -> Result<RunId, CliError> {
    let submission = Submission {
        action: spec.id.clone(),
        input,
        memory: None,
    };
    local
        .engine
        .submit(submission)?
        .map_err(|refusal| CliError::usage(refusal.message))
}

/// Shows what happens until the run has finished, and those below it, which end with it. Returns whether it was
/// interrupted.
fn watch(local: &Local, root: RunId, lines: &mut LocalRun<'_>) -> Result<bool, CliError> {
    let mut interrupted = false;
    let mut open = HashSet::from([root]);
    while !open.is_empty() {
        match local.incoming.recv() {
            Ok(Incoming::Interrupt) => {
                if !interrupted {
                    lines.interrupted();
                }
                interrupted = true;
                local.engine.cancel(
                    root,
                    Cancelled {
                        by: "interrupt".to_owned(),
                        reason: None,
                    },
                );
            }
            Ok(Incoming::Notice(Notice::Run {
                run,
                action,
                happening,
            })) => {
                // What was printed before an interrupt and is not shown yet would only hold it up.
                if !local.interrupted.load(Relaxed)
                    || !matches!(happening, Happening::Output { .. })
                {
                    lines.happened(run, run == root, &action, &happening);
                }
                match happening {
                    // Before that nothing is shown of a run, so that its end need not be either.
                    Happening::Initialized => open.insert(run),
                    Happening::Completed { .. }
                    | Happening::Failed { .. }
                    | Happening::Cancelled(_) => open.remove(&run),
                    _ => false,
                };
            }
            Ok(Incoming::Notice(Notice::Printed { level, text })) => lines.output(level, &text),
            Ok(Incoming::Notice(Notice::Loaded(_) | Notice::InputMade(_))) => {}
            Ok(Incoming::Notice(Notice::Broken(error))) => return Err(error.into()),
            Err(_) => return Err(EngineError::Stopped.into()),
        }
    }
    Ok(interrupted)
}

/// The last lines, the document, and the exit status.
fn conclude(
    local: &Local,
    run: RunId,
    interrupted: bool,
    lines: LocalRun<'_>,
    json: bool,
) -> Result<ExitCode, CliError> {
    let Some(mut document) = local.engine.document(run)? else {
        return Err(EngineError::Stopped.into());
    };
    let memory = Newest::of(local.engine.memory(document.memory_id)?);
    let wrong_input = document
        .error
        .as_ref()
        .is_some_and(|error| error.code == ErrorCode::InvalidInput);
    let (ending, status) = match document.status {
        Status::Completed => (LocalEnding::Completed, 0),
        // An interrupt that came too late changed nothing.
        Status::Cancelled if interrupted => (LocalEnding::Interrupted, 130),
        _ => (LocalEnding::Failed, if wrong_input { 2 } else { 1 }),
    };
    let printer = lines.end(ending, &memory);
    if json {
        document.memory = Some(memory);
        printer.document(&document)?;
    }
    Ok(ExitCode::from(status))
}
