//! `ziet run action NAME` on a server: submits, and shows what happens until the run has finished, wherever the connection
//! or the server goes meanwhile.

use std::io::{self, BufRead, IsTerminal};
use std::iter;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::value::RawValue;
use ziet_core::action::{ActionSpec, Unresolved};
use ziet_core::memory::Newest;
use ziet_core::{ActionId, Catalogue, Json, RunId, Time};
use ziet_engine::Clock;

use super::following::{Following, News};
use super::run_action::{RunAction, given};
use super::waiting::{Told, Waiting};
use crate::error::CliError;
use crate::input;
use crate::output::{Ending, Place, Printer, RunLines, quoted};
use crate::remote::documents::{MemoryEntry, Run, action, json};
use crate::remote::{Server, Target};
use crate::settings::{Environment, Flags};

/// Memories have no more entries than fit into them.
const ALL: usize = usize::MAX;

/// The settings that are the server's own business.
const LOCAL: &[&str] = &[
    "project",
    "python",
    "concurrency",
    "sandbox",
    "backoff",
    "locals",
];

/// The body of a submit.
#[derive(Serialize)]
struct NewRun<'a> {
    action_id: &'a ActionId,
    input: Json,
    idempotency_key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Json>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delay_seconds: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    run_at: Option<Time>,
}

/// What the command waits for.
enum Item {
    News(News),
    Answer(io::Result<String>),
}

pub(crate) fn run_on_server(
    args: &RunAction,
    flags: &Flags,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    if args.watch {
        return Err(CliError::usage("--watch is for local runs")
            .hint("`ziet runs --watch` shows what a server does"));
    }
    let target = Target::known(&args.remote.server, environment)?;
    let target = target.ok_or_else(|| nowhere(&args.name))?;
    if let Some(flag) = LOCAL.iter().find_map(|name| flags.typed(name)) {
        return Err(
            CliError::usage(format!("--{flag} is for a run with --local"))
                .hint("a server has settings of its own"),
        );
    }
    let server = &Server::new(target)?;
    if args.json {
        printer.lines_to_stderr();
    }
    let input = given(args, printer)?;
    let actions = actions(server)?;
    let spec = resolve(&actions, &args.name)?;
    let run = submit(args, spec, input, server)?;
    let document: Run =
        serde_json::from_str(run.get()).map_err(|error| CliError::failed("the run", error))?;
    if args.remote.detach {
        return detached(args, &run, &document, printer);
    }
    let mut lines = RunLines::begin(printer, Place::Server, spec.id.clone(), &args.name);
    lines.info(format!("Run {} on {}", document.id, server.address.url));
    if let Some(due) = document.due {
        lines.info(format!("Due at {due}"));
    }
    let waiting = Waiting::begin()?;
    let mut following = Following::new(server, &document.id, spec, lines);
    let left = follow(&mut following, &waiting)?;
    let (lines, interrupted) = (following.lines, following.interrupted);
    if left {
        return leave(args, server, &document.id, lines);
    }
    conclude(args, server, &document.id, interrupted, lines)
}

fn nowhere(name: &str) -> CliError {
    let name = quoted(name);
    let hint = format!(
        "run it on this machine with `ziet run --local action {name}`, or name a server: `ziet login URL`"
    );
    CliError::usage("there is no server to run it on").hint(hint)
}

/// Everything that the server can execute.
pub(super) fn actions(server: &Server) -> Result<Catalogue, CliError> {
    let mut catalogue = Catalogue::default();
    for document in server.list("/v1/actions", &[], ALL)?.items {
        catalogue.add(action(document)?);
    }
    Ok(catalogue)
}

pub(super) fn resolve<'a>(actions: &'a Catalogue, name: &str) -> Result<&'a ActionSpec, CliError> {
    let list = |ids: &[ActionId]| {
        let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
        ids.join(", ")
    };
    actions
        .resolve(name)
        .map_err(|unresolved| match unresolved {
            Unresolved::Ambiguous { candidates } => {
                let message = format!("`{name}` fits several actions: {}", list(&candidates));
                CliError::usage(message).hint("give the id of one of them")
            }
            Unresolved::Unknown { nearest } if nearest.is_empty() => {
                CliError::usage(format!("the server has no action `{name}`"))
                    .hint("`ziet actions --server NAME|URL` lists those there are")
            }
            Unresolved::Unknown { nearest } => {
                CliError::usage(format!("the server has no action `{name}`"))
                    .hint(format!("the nearest names: {}", list(&nearest)))
            }
        })
}

/// With a key by which the same request is the same run, so that it can be made again when the answer gets lost.
fn submit(
    args: &RunAction,
    spec: &ActionSpec,
    given: Option<Json>,
    server: &Server,
) -> Result<Box<RawValue>, CliError> {
    let input = input::combine(spec, given, &args.param)?;
    let body = NewRun {
        action_id: &spec.id,
        input: input.unwrap_or_else(Json::empty_object),
        idempotency_key: args
            .remote
            .idempotency_key
            .clone()
            .unwrap_or_else(random_key),
        memory_id: args.remote.memory.as_deref(),
        metadata: args.remote.metadata.as_ref(),
        delay_seconds: args.remote.delay.map(|delay| delay.as_secs()),
        run_at: args.remote.at,
    };
    server.post_once("/v1/runs", &body)
}

/// Nobody else makes the same.
fn random_key() -> String {
    RunId::new(Clock::default().now()).to_string()
}

fn detached(
    args: &RunAction,
    run: &RawValue,
    document: &Run,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    if args.json {
        printer.document(&json(run))?;
    } else {
        printer.line(&document.id);
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows what happens until the run has finished, or is left running: then it returns true.
fn follow(following: &mut Following<'_>, waiting: &Waiting<Item>) -> Result<bool, CliError> {
    let (server, path) = (following.server, format!("/v1/runs/{}", following.run));
    let event = |heard| Item::News(News::Event(heard));
    let line = |heard| Item::News(News::Line(heard));
    waiting.hear(server.stream(&format!("{path}/events"), &[]).map(event));
    waiting.hear(server.stream(&format!("{path}/logs"), &[]).map(line));
    // What comes while a person is asked is shown after the answer.
    let mut held = Vec::new();
    let mut is_asked = false;
    loop {
        match waiting.next() {
            Told::Interrupt if is_asked || !can_ask() => return Ok(true),
            Told::Interrupt => {
                is_asked = true;
                let printer = &following.lines.printer;
                // Below the `^C` that the terminal shows.
                printer.aside("");
                printer.question("Leave the run running, or cancel it? [leave/cancel] ");
                waiting.hear(iter::once_with(answer).map(Item::Answer));
            }
            Told::Item(Item::News(news)) if is_asked => held.push(news),
            Told::Item(Item::News(news)) => {
                if following.take(news)? {
                    return Ok(false);
                }
            }
            Told::Item(Item::Answer(answer)) => {
                is_asked = false;
                for news in held.drain(..) {
                    if following.take(news)? {
                        return Ok(false);
                    }
                }
                if !is_cancel(answer) {
                    return Ok(true);
                }
                following.cancel()?;
            }
        }
    }
}

fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn answer() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line)?;
    Ok(line)
}

/// Whoever says nothing, or hangs up, leaves it running.
fn is_cancel(answer: io::Result<String>) -> bool {
    answer.is_ok_and(|answer| matches!(answer.trim().to_lowercase().as_str(), "c" | "cancel"))
}

/// The run goes on without anybody who looks.
fn leave(
    args: &RunAction,
    server: &Server,
    run: &str,
    lines: RunLines<'_>,
) -> Result<ExitCode, CliError> {
    let printer = lines.printer;
    let text = format!(
        "Run {run} goes on: `ziet logs {run} -f` follows it, `ziet runs cancel {run}` ends it"
    );
    printer.aside(text);
    if args.json {
        let document: Box<RawValue> = server.get(&format!("/v1/runs/{run}"), &[])?;
        printer.document(&json(&document))?;
    }
    Ok(ExitCode::from(130))
}

/// The last lines, the document, and the exit status.
fn conclude(
    args: &RunAction,
    server: &Server,
    run: &str,
    interrupted: bool,
    lines: RunLines<'_>,
) -> Result<ExitCode, CliError> {
    let text: Box<RawValue> = server.get(&format!("/v1/runs/{run}"), &[])?;
    let document: Run =
        serde_json::from_str(text.get()).map_err(|error| CliError::failed("the run", error))?;
    let memory = newest(server, &document.memory_id)?;
    let code = document
        .error
        .as_ref()
        .map(|error| error["code"] == "invalid_input");
    let (ending, status) = match &*document.status {
        "completed" => (Ending::Completed, 0),
        "cancelled" if interrupted => (Ending::Cancelled, 130),
        "cancelled" => (Ending::Cancelled, 1),
        _ => (Ending::Failed, if code == Some(true) { 2 } else { 1 }),
    };
    let printer = lines.end(ending, &memory);
    if args.json {
        let memory = serde_json::to_string(&memory)
            .map_err(|error| CliError::failed("the memory", error))?;
        let text = json(&text);
        let open = text
            .as_str()
            .and_then(|text| text.strip_suffix('}'))
            .unwrap_or_default();
        printer.document(&Json::trusted(
            format!("{open},\"memory\":{memory}}}").into_bytes(),
        ))?;
    }
    Ok(ExitCode::from(status))
}

/// The newest value of each key; none where the memory is gone already.
fn newest(server: &Server, memory: &str) -> Result<Newest, CliError> {
    match server.list::<MemoryEntry>(&format!("/v1/memories/{memory}"), &[], ALL) {
        Ok(listed) => {
            let oldest_first = listed.items.into_iter().rev();
            Ok(Newest::of_values(
                oldest_first.map(|entry| (entry.key, json(&entry.value))),
            ))
        }
        Err(error) if error.has_code("memory_not_found") => Ok(Newest::default()),
        Err(error) => Err(error),
    }
}
