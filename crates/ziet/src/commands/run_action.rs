//! `ziet run action NAME`: with `--local` the engine on a store in memory, with one run in it; else on a server.

use std::collections::HashSet;
use std::io::IsTerminal;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCompleter;
use ziet_core::action::ActionSpec;
use ziet_core::memory::Newest;
use ziet_core::run::{Cancelled, Status};
use ziet_core::{ErrorCode, Json, RunId, Time};
use ziet_engine::{EngineError, Happening, MadeInput, Notice, Submission};

use super::watch::{Resolve, watch};
use super::{Inbox, Incoming, Local, resolve};
use crate::complete;
use crate::error::CliError;
use crate::input;
use crate::output::{Ending, Place, Printer, RunLines};
use crate::settings::{Flags, OfClient, Settings, read_age};

/// Run an action and show what it does
///
/// With --local it runs on this machine, else on a server. Lines appear as things happen; the last one is what the run
/// left in memory. The exit status is 0 when the run completed, 1 when it failed, 2 for wrong usage or wrong input, and
/// 130 when it was interrupted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ziet run --local action process_payment                      with test data
  ziet run --local action process_payment -p amount=10 -p currency=eur
  ziet run --local action process_payment --input '{\"amount\": 10}'
  ziet run --local action process_payment --input @payment.json --json | jq .memory
  ziet run --local action process_payment --watch              again whenever a file is saved
  ziet run action process_payment -p amount=10                 on the server of `ziet login`
  ziet run action process_payment -p amount=10 --detach        prints its id, and does not wait")]
pub(crate) struct RunAction {
    /// The action: its id, else its function's name or `module.function`
    #[arg(add = ArgValueCompleter::new(complete::actions))]
    pub(super) name: String,

    /// The parameters as a JSON object: the text itself, @FILE, or - for standard input
    ///
    /// Without --input and -p, the parameters of a local run come from the action's table `[inputs."<id>"]` in
    /// `ziet.toml`. Those that are missing there and have no default get test data: the example in the docstring
    /// (`e.g., "CA"`), else something that fits the type.
    #[arg(long, value_name = "JSON|@FILE|-")]
    input: Option<String>,

    /// One parameter; goes before the same one in --input. The value is JSON, or plain text where the hint is str
    #[arg(short, long = "param", value_name = "KEY=VALUE", add = ArgValueCompleter::new(complete::parameters))]
    pub(super) param: Vec<String>,

    /// Print the run as one JSON document on standard output, and the lines on standard error
    #[arg(long)]
    pub(super) json: bool,

    /// Run again whenever a file of the project is saved, until Ctrl-C
    ///
    /// Each run imports the project anew. A save of a .py file, ziet.toml or pyproject.toml ends the run that is under
    /// way; other files count only between runs, since a run may write some itself. Hidden files and folders,
    /// environments and caches do not count. With --json there is one document for each run, each on a line of its own.
    /// Ctrl-C ends with status 0 between runs, and with 130 in one.
    #[arg(long)]
    pub(super) watch: bool,

    #[command(flatten)]
    pub(super) remote: OnServer,
}

/// What only runs on a server have.
#[derive(Debug, Args)]
#[command(next_help_heading = "On a server")]
pub(super) struct OnServer {
    /// Do not wait: print the run's id
    #[arg(long)]
    pub(super) detach: bool,

    /// The memory to use, instead of a new one
    #[arg(long, value_name = "ID")]
    pub(super) memory: Option<String>,

    /// Names the request: asked again, it is the same run, until a day after that has finished
    #[arg(long, value_name = "TEXT")]
    pub(super) idempotency_key: Option<String>,

    /// Run it after this time, such as 30s, 15m or 2h
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "at")]
    pub(super) delay: Option<Duration>,

    /// Run it at this time, such as 2026-01-15T09:30:00Z
    #[arg(long, value_name = "TIME", value_parser = point)]
    pub(super) at: Option<Time>,

    /// What is to be found on the run again: a JSON object
    #[arg(long, value_name = "JSON", value_parser = input::object)]
    pub(super) metadata: Option<Json>,

    #[command(flatten)]
    pub(super) server: Flags<OfClient>,
}

fn duration(text: &str) -> Result<Duration, String> {
    read_age(text).ok_or_else(|| "expected a duration, such as 30s, 15m or 2h".to_owned())
}

fn point(text: &str) -> Result<Time, String> {
    let wrong = |_| "expected a time with its zone, such as 2026-01-15T09:30:00Z".to_owned();
    text.parse().map_err(wrong)
}

impl OnServer {
    /// One of these that was given.
    fn given(&self) -> Option<&'static str> {
        let given = [
            ("--detach", self.detach),
            ("--memory", self.memory.is_some()),
            ("--idempotency-key", self.idempotency_key.is_some()),
            ("--delay", self.delay.is_some()),
            ("--at", self.at.is_some()),
            ("--metadata", self.metadata.is_some()),
            ("--server", self.server.is_given("server")),
        ];
        given
            .into_iter()
            .find_map(|(name, given)| given.then_some(name))
    }
}

impl RunAction {
    /// Whether the input is in a file, which may be another one by the next run.
    pub(super) fn reads_file(&self) -> bool {
        self.input
            .as_ref()
            .is_some_and(|input| input.starts_with('@'))
    }
}

/// On this machine.
pub(crate) fn run_action(
    args: &RunAction,
    settings: &Settings,
    resolve_again: &Resolve<'_>,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    match args.remote.given() {
        Some("--memory") => {
            return Err(CliError::usage(
                "--memory is for a server: a local run has a memory of its own",
            ));
        }
        Some(option) => {
            return Err(CliError::usage(format!(
                "{option} is for a server, not for --local"
            )));
        }
        None => {}
    }
    if args.json {
        printer.lines_to_stderr();
    }
    if args.watch {
        return watch(args, settings, resolve_again, printer);
    }
    let given = given(args, printer)?;
    run_once(args, given, settings, &Inbox::open()?, printer)
}

/// What `--input` holds. Read before anything is started: it may come from a person.
pub(super) fn given(args: &RunAction, printer: &Printer) -> Result<Option<Json>, CliError> {
    if args.input.as_deref() == Some("-") && std::io::stdin().is_terminal() {
        printer.progress(
            "reading the input from this terminal: end it with Ctrl-D on a line of its own",
        );
    }
    input::read(args.input.as_deref())
}

/// One run of a project that is imported for it.
pub(super) fn run_once(
    args: &RunAction,
    given: Option<Json>,
    settings: &Settings,
    inbox: &Inbox,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let local = Local::start(settings, false, inbox, printer)?;
    local.tell_problems(printer);
    let spec = resolve(&local, &args.name)?;
    settings.check_inputs(&local.catalogue)?;
    let input = match input::combine(spec, given, &args.param)? {
        Some(input) => input,
        None => test_data(&local, spec, settings, printer)?,
    };
    let mut lines = RunLines::begin(printer, Place::Local, spec.id.clone(), &args.name);
    lines.info("Starting local run...");
    for (level, text) in &local.printed {
        lines.output(*level, text);
    }
    let run = submit(&local, spec, input)?;
    let interrupted = follow(&local, run, &mut lines)?;
    conclude(&local, run, interrupted, lines, args.json)
}

/// What the project's file has for the action; what that leaves out is made, which is told.
fn test_data(
    local: &Local<'_>,
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
        match local.inbox.next()? {
            Incoming::Notice(Notice::InputMade(made)) => {
                let MadeInput { input, made } = made.map_err(CliError::usage)?;
                if !made.is_empty() {
                    printer.note(format_args!("test data: {}", made.join(", ")));
                }
                return Ok(input);
            }
            Incoming::Notice(Notice::Broken(error)) => return Err(error.into()),
            // The zygote died of making it.
            Incoming::Notice(Notice::Loaded(_)) => {
                return Err(CliError::usage("test data could not be made")
                    .hint("give the parameters with -p"));
            }
            Incoming::Notice(
                Notice::Printed { .. }
                | Notice::Run { .. }
                | Notice::Written(_)
                | Notice::ImportFailed { .. }
                | Notice::Supervised(_),
            ) => {}
            Incoming::Interrupt | Incoming::Outdated => return Err(CliError::interrupted()),
        }
    }
}

fn submit(local: &Local<'_>, spec: &ActionSpec, input: Json) -> Result<RunId, CliError> {
    local
        .engine
        .submit_now(Submission::new(spec.id.clone(), input))?
        .map_err(|refusal| CliError::usage(refusal.message))
}

/// Shows what happens until the run has finished, and those below it, which end with it. Returns whether it was ended
/// from here.
fn follow(local: &Local<'_>, root: RunId, lines: &mut RunLines<'_>) -> Result<bool, CliError> {
    let mut interrupted = false;
    let mut open = HashSet::from([root]);
    let cancel = |by: &str| {
        let by = by.to_owned();
        let cancelled = Cancelled { by, reason: None };
        // How the run ends is told.
        local.engine.cancel(root, cancelled, drop);
    };
    while !open.is_empty() {
        match local.inbox.next()? {
            Incoming::Interrupt => {
                if !interrupted {
                    lines.interrupted();
                }
                interrupted = true;
                cancel("interrupt");
            }
            Incoming::Outdated => {
                interrupted = true;
                cancel("a save");
            }
            Incoming::Notice(Notice::Run {
                run,
                action,
                happening,
            }) => {
                // What was printed before an interrupt and is not shown yet would only hold it up.
                if !local.inbox.is_interrupted() || !matches!(happening, Happening::Output { .. }) {
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
            Incoming::Notice(Notice::Printed { level, text }) => lines.output(level, &text),
            // Where an import has failed, the runs say so.
            Incoming::Notice(
                Notice::Loaded(_)
                | Notice::InputMade(_)
                | Notice::Supervised(_)
                | Notice::Written(_)
                | Notice::ImportFailed { .. },
            ) => {}
            Incoming::Notice(Notice::Broken(error)) => return Err(error.into()),
        }
    }
    Ok(interrupted)
}

/// The last lines, the document, and the exit status.
fn conclude(
    local: &Local<'_>,
    run: RunId,
    interrupted: bool,
    lines: RunLines<'_>,
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
        Status::Completed => (Ending::Completed, 0),
        // An interrupt that came too late changed nothing.
        Status::Cancelled if interrupted => (Ending::Interrupted, 130),
        _ => (Ending::Failed, if wrong_input { 2 } else { 1 }),
    };
    let printer = lines.end(ending, &memory);
    if json {
        document.memory = Some(memory);
        printer.document(&document)?;
    }
    Ok(ExitCode::from(status))
}
