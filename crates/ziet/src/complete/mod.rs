//! What the shell offers while a command is typed: the project's actions and their parameters, found by reading its source
//! and never by running it. It must be quick, and silent whatever is wrong.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use clap::{ArgMatches, CommandFactory, FromArgMatches};
use clap_complete::CompletionCandidate;
use serde::Deserialize;

use crate::cli::Cli;
use crate::output::one_line;
use crate::settings::{Environment, Flags, Settings};

const OUTLINE: &str = include_str!("outline.py");

/// A person who waits longer believes that the shell hangs.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
struct Outline {
    id: String,
    function: String,
    module: String,
    description: String,
    /// Names and hints.
    parameters: Vec<(String, String)>,
}

impl Outline {
    fn path(&self) -> String {
        format!("{}.{}", self.module, self.function)
    }

    fn is_called(&self, name: &str) -> bool {
        self.id == name || self.function == name || self.path() == name
    }
}

/// Ids first; other names that an action answers to once something is typed that no id begins with.
pub(crate) fn actions(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else {
        return Vec::new();
    };
    let actions = line().and_then(|line| outline(&line)).unwrap_or_default();
    let fitting = |name: fn(&Outline) -> String| -> Vec<CompletionCandidate> {
        let named = actions.iter().map(|action| (name(action), action));
        named
            .filter(|(name, _)| name.starts_with(typed))
            .filter(|(name, _)| actions.iter().filter(|each| each.is_called(name)).count() == 1)
            .map(|(name, action)| candidate(name, &action.description))
            .collect()
    };
    [
        |action: &Outline| action.id.clone(),
        |action: &Outline| action.function.clone(),
        Outline::path,
    ]
    .into_iter()
    .map(fitting)
    .find(|names| !names.is_empty())
    .unwrap_or_default()
}

/// `amount=`, for the action that was typed before.
pub(crate) fn parameters(typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(line) = line() else {
        return Vec::new();
    };
    let actions = outline(&line).unwrap_or_default();
    let called = action_of(&line).and_then(|name| actions.iter().find(|each| each.is_called(name)));
    let parameters = called.into_iter().flat_map(|action| &action.parameters);
    parameters
        .map(|(name, hint)| (format!("{name}="), hint))
        .filter(|(name, _)| typed.to_str().is_some_and(|typed| name.starts_with(typed)))
        .map(|(name, hint)| candidate(name, hint))
        .collect()
}

fn candidate(name: String, help: &str) -> CompletionCandidate {
    let help = one_line(help);
    CompletionCandidate::new(name).help((!help.is_empty()).then(|| help.into()))
}

/// The command line as far as it is typed.
fn line() -> Option<ArgMatches> {
    let typed = std::env::args_os().skip_while(|word| word != "--").skip(1);
    let command = Cli::command().ignore_errors(true);
    command.try_get_matches_from(typed).ok()
}

fn action_of(line: &ArgMatches) -> Option<&str> {
    let run = line.subcommand_matches("run")?;
    let action = run.subcommand_matches("action")?;
    Some(action.get_one::<String>("name")?)
}

/// None when there is no project or no Python, or it takes too long.
fn outline(line: &ArgMatches) -> Option<Vec<Outline>> {
    let flags = Flags::from_arg_matches(line).ok()?;
    let environment = Environment::read();
    let settings = Settings::resolve(&flags, &environment).ok()?;
    // Who presses TAB in a folder that came from elsewhere has not agreed to execute what it names.
    let python = settings.python_of_the_user(&environment).ok()?;
    let project = settings.project().ok()?;
    let folders: Option<Vec<&str>> = project.paths.iter().map(|path| path.to_str()).collect();
    let asked = format!("{}\0\0{}", folders?.join("\0"), project.modules.join("\0"));
    let mut python = Command::new(&python.path)
        // Isolated, and without the packages of the environment: only the standard library is needed.
        .args(["-I", "-S", "-X", "utf8", "-c", OUTLINE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let (mut into, mut out) = (python.stdin.take()?, python.stdout.take()?);
    let (send, receive) = channel();
    thread::spawn(move || {
        let mut text = String::new();
        let said = into.write_all(asked.as_bytes());
        drop(into);
        if said.and_then(|()| out.read_to_string(&mut text)).is_ok() {
            let _ = send.send(text);
        }
    });
    let text = receive.recv_timeout(PATIENCE);
    let _ = python.kill();
    let _ = python.wait();
    serde_json::from_str(&text.ok()?).ok()
}
