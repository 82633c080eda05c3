//! How a failure is shown beneath its line: the calls in the user's own files, notes, and the errors that it came from.
//!
//! Each part is bounded, so that a deep recursion or a group of a thousand errors stays readable; what is left out is
//! counted.

use std::fmt::{Display, Write as _};

use ziet_core::error::{Failure, Local, RelatedError, Relation, StackFrame};

use super::printer::{DIM, RED};
use super::spelled;
use super::wording::{counted, marks};

/// The outermost and the innermost calls of a long stack that are shown.
const FRAMES_AT_END: usize = 10;

/// Members of a group that are shown.
const MOST_MEMBERS: usize = 5;

/// Characters of an error's message.
const LONGEST_MESSAGE: usize = 2000;

/// What the package writes for the value of a secret.
const HIDDEN: &str = "…hidden…";

/// Names of variables are aligned as long as none is longer.
const LONGEST_NAME: usize = 20;

/// `ValueError: Invalid data`, cut where it is long; its further lines are indented.
pub(super) fn headline(headline: &str, indent: usize, ascii: bool) -> String {
    let shown = match headline.char_indices().nth(LONGEST_MESSAGE) {
        Some((end, _)) => &format!("{}{}", &headline[..end], marks("…", ascii)),
        None => headline,
    };
    indented(shown, indent)
}

/// The lines beneath, each with its end.
pub(super) fn details(failure: &Failure, ascii: bool) -> String {
    let mut lines = Lines {
        ascii,
        text: String::new(),
    };
    lines.error(&failure.into(), 2, 2);
    lines.text
}

/// What a failure and the errors that it came from have in common.
struct Shown<'a> {
    frames: &'a [StackFrame],
    notes: &'a [String],
    related: &'a [RelatedError],
    left_out: u32,
}

impl<'a> From<&'a Failure> for Shown<'a> {
    fn from(failure: &'a Failure) -> Self {
        Self {
            frames: &failure.frames,
            notes: &failure.notes,
            related: &failure.related,
            left_out: failure.left_out,
        }
    }
}

impl<'a> From<&'a RelatedError> for Shown<'a> {
    fn from(error: &'a RelatedError) -> Self {
        Self {
            frames: &error.frames,
            notes: &error.notes,
            related: &error.related,
            left_out: error.left_out,
        }
    }
}

/// A call in the user's own files, or how many calls stand in this place.
enum Call<'a> {
    Listed(&'a StackFrame),
    LeftOut { calls: usize, text: String },
}

impl Call<'_> {
    fn count(&self) -> usize {
        match self {
            Self::Listed(_) => 1,
            Self::LeftOut { calls, .. } => *calls,
        }
    }
}

struct Lines {
    ascii: bool,
    text: String,
}

impl Lines {
    /// What belongs to the error itself stands at `indent`; the chain of those before it goes on at `chain`.
    fn error(&mut self, error: &Shown<'_>, indent: usize, chain: usize) {
        self.calls(error.frames, indent);
        for note in error.notes {
            let note = indented(note, indent + 6);
            self.line(indent, format_args!("Note: {note}"));
        }
        let (members, earlier): (Vec<_>, Vec<_>) = error
            .related
            .iter()
            .partition(|related| related.relation == Relation::Member);
        self.members(&members, error.left_out, indent);
        for related in earlier {
            self.earlier(related, chain);
        }
        if members.is_empty() && error.left_out > 0 {
            self.left_out(chain, &counted(error.left_out as usize, "earlier error"));
        }
    }

    fn members(&mut self, members: &[&RelatedError], left_out: u32, indent: usize) {
        let shown = members.len().min(MOST_MEMBERS);
        let all = members.len() + left_out as usize;
        for (member, number) in members[..shown].iter().zip(1..) {
            self.header(&format!("{number} of {all}:"), member, indent);
            self.error(&(*member).into(), indent + 2, indent + 2);
        }
        if shown > 0 && all > shown {
            self.left_out(indent, &format!("{} more", all - shown));
        }
    }

    fn earlier(&mut self, error: &RelatedError, indent: usize) {
        let what = match error.relation {
            Relation::Context => "While handling",
            Relation::Cause | Relation::Member => "Caused by",
            // Its own lines have shown it.
            Relation::Child => {
                let text = "The stack of the child run is shown above.";
                return self.line(indent, format_args!("{DIM}{text}{DIM:#}"));
            }
        };
        self.header(what, error, indent);
        self.error(&error.into(), indent + 2, indent);
    }

    fn header(&mut self, what: &str, error: &RelatedError, indent: usize) {
        let RelatedError { kind, message, .. } = error;
        let text = if message.is_empty() {
            kind.clone()
        } else {
            format!("{kind}: {message}")
        };
        let text = headline(&text, indent + 4, self.ascii);
        self.line(indent, format_args!("{RED}{what}{RED:#} {text}"));
    }

    fn calls(&mut self, frames: &[StackFrame], indent: usize) {
        let calls = of_the_user(frames);
        let hidden = FRAMES_AT_END..calls.len().saturating_sub(FRAMES_AT_END);
        for (index, call) in calls.iter().enumerate() {
            match call {
                _ if index == hidden.start && !hidden.is_empty() => {
                    let count = calls[hidden.clone()].iter().map(Call::count).sum();
                    self.left_out(indent, &counted(count, "more call"));
                }
                _ if hidden.contains(&index) => {}
                Call::Listed(frame) => self.call(frame, indent),
                Call::LeftOut { text, .. } => self.left_out(indent, text),
            }
        }
    }

    fn call(&mut self, frame: &StackFrame, indent: usize) {
        let StackFrame {
            file,
            line,
            function,
            source,
            locals,
            ..
        } = frame;
        let file = spelled::one_line(file);
        let function = match function.as_str() {
            "" => String::new(),
            function => format!(", in {}", spelled::one_line(function)),
        };
        self.line(
            indent,
            format_args!("{DIM}File \"{file}\", line {line}{function}{DIM:#}"),
        );
        if let Some(source) = source {
            let source = indented(source, indent + 2);
            self.line(indent + 2, source);
        }
        let width = locals.iter().map(|local| local.name.chars().count()).max();
        let width = width.unwrap_or_default().min(LONGEST_NAME);
        for Local { name, value } in locals {
            let (name, value) = (spelled::one_line(name), spelled::one_line(value));
            let value = value.replace(HIDDEN, &marks(HIDDEN, self.ascii));
            self.line(
                indent + 4,
                format_args!("{DIM}{name:width$} = {value}{DIM:#}"),
            );
        }
    }

    fn left_out(&mut self, indent: usize, what: &str) {
        let ellipsis = marks("…", self.ascii);
        self.line(indent, format_args!("{DIM}{ellipsis} {what}{DIM:#}"));
    }

    fn line(&mut self, indent: usize, text: impl Display) {
        let _ = writeln!(self.text, "{:indent$}{text}", "");
    }
}

/// The calls in files of the project, with how many are left out between them.
fn of_the_user(frames: &[StackFrame]) -> Vec<Call<'_>> {
    let mut calls = Vec::new();
    for (index, frame) in frames.iter().enumerate() {
        if frame.user {
            calls.push(Call::Listed(frame));
        }
        let (left_out, cycle) = (frame.left_out as usize, frame.cycle as usize);
        let repeated = &frames[(index + 1).saturating_sub(cycle)..=index];
        let users = repeated.iter().filter(|frame| frame.user).count();
        if cycle > 0 && users > 0 {
            let times = left_out / cycle;
            let same = match users {
                1 => "the same call".to_owned(),
                users => format!("the same {users} calls"),
            };
            calls.push(Call::LeftOut {
                calls: times * users,
                text: format!("{same}, {}", counted(times, "more time")),
            });
        } else if cycle == 0 && left_out > 0 {
            calls.push(Call::LeftOut {
                calls: left_out,
                text: counted(left_out, "more call"),
            });
        }
    }
    calls
}

/// Text that somebody else chose, with its further lines indented by at least so much.
fn indented(text: &str, indent: usize) -> String {
    let text = spelled::lines(text);
    let further = text.lines().skip(1).filter(|line| !line.trim().is_empty());
    let indented = further.map(|line| line.len() - line.trim_start_matches(' ').len());
    let more = indent.saturating_sub(indented.min().unwrap_or(indent));
    let mut lines = text.lines();
    let mut shown = lines.next().unwrap_or_default().to_owned();
    for line in lines {
        let more = if line.is_empty() { 0 } else { more };
        let _ = write!(shown, "\n{:more$}{line}", "");
    }
    shown
}
