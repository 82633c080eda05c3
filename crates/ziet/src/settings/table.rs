//! Every setting, declared once: the flags, the variables, the keys of the file, `ziet settings` and the reference page
//! all come from this table.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::ops::RangeInclusive;

use serde_json::Value;
use ziet_core::limits::ID_CHARS;
use ziet_worker::{Ability, scan};

use super::client_table::CLIENT;
use super::measure;
use super::server_table::SERVING;

pub(crate) struct Setting {
    /// Its key in the file, and in lower case what follows `ZIET_` in its variable.
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) default: Default,
    pub(crate) flag: Option<Flag>,
    pub(crate) places: Places,
    /// One line, as `--help` has it.
    pub(crate) summary: &'static str,
    /// What else there is to know, in whole sentences.
    pub(crate) details: &'static str,
    /// The version that it came with.
    pub(crate) since: &'static str,
}

/// What a value must be.
pub(crate) enum Kind {
    /// What a project is called, in URLs and headers too: the characters of an action's id.
    Name,
    Folder,
    File,
    /// A program's name or path.
    Program,
    Modules,
    Whole(RangeInclusive<u32>),
    Bool,
    Choice(&'static [&'static str]),
    /// Names of what a system may have.
    Abilities,
    /// A table of parameters for each action id.
    Inputs,
    /// Names of variables, each with its text.
    Environment,
    /// An IP address and a port.
    Address,
    /// Names with commas between them; the flag may be given several times.
    Names,
    /// A duration, within these seconds.
    Time(RangeInclusive<u64>),
    /// A duration, or `never`.
    Age,
    Bytes,
    /// A server's name or URL.
    Server,
    /// What is shown to nobody.
    Secret,
}

pub(crate) enum Default {
    Is(&'static str),
    /// Found when it is needed; how.
    Depends(&'static str),
}

pub(crate) enum Flag {
    /// It takes a value.
    Takes {
        name: &'static str,
        value: &'static str,
    },
    /// It stands for one value.
    Means {
        name: &'static str,
        value: &'static str,
        summary: &'static str,
    },
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Places {
    FileAndVariable,
    File,
    Variable,
}

impl Setting {
    pub(crate) fn variable(&self) -> Option<String> {
        (self.places != Places::File).then(|| format!("ZIET_{}", self.name.to_uppercase()))
    }

    pub(crate) fn in_file(&self) -> bool {
        self.places != Places::Variable
    }
}

impl Flag {
    pub(crate) fn name(&self) -> &'static str {
        let (Self::Takes { name, .. } | Self::Means { name, .. }) = self;
        name
    }
}

impl Display for Flag {
    /// As it is typed: `--color WHEN`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Takes { name, value } => write!(f, "--{name} {value}"),
            Self::Means { name, .. } => write!(f, "--{name}"),
        }
    }
}

impl Kind {
    /// A value that was given as text; None when it is no such value.
    pub(crate) fn read(&self, text: &str) -> Option<Value> {
        match self {
            Self::Name => {
                let fits = (1..=ID_CHARS).contains(&text.len()) && consists_of(text, "_.:-");
                fits.then(|| text.into())
            }
            Self::Folder | Self::File | Self::Program => (!text.is_empty()).then(|| text.into()),
            Self::Modules => {
                let modules = text.split(',').map(str::trim);
                modules.map(module).collect()
            }
            Self::Whole(range) => {
                let number = text.parse().ok().filter(|number| range.contains(number));
                number.map(Value::from)
            }
            Self::Bool => match text {
                "true" | "1" => Some(true.into()),
                "false" | "0" => Some(false.into()),
                _ => None,
            },
            Self::Choice(choices) => choices.contains(&text).then(|| text.into()),
            Self::Abilities => {
                let known = |name: &str| Ability::named(name).map(|_| Value::from(name));
                names(text).map(known).collect()
            }
            Self::Inputs | Self::Environment => {
                serde_json::from_str(text).ok().filter(Value::is_object)
            }
            Self::Address => {
                let address = text.parse::<SocketAddr>().ok();
                address.map(|address| address.to_string().into())
            }
            Self::Names => {
                let fits = |name| consists_of(name, ".-_").then(|| Value::from(name));
                names(text).map(fits).collect()
            }
            Self::Time(range) => {
                let time = measure::read_time(text);
                time.filter(|time| range.contains(&time.as_secs()))
                    .map(|_| text.into())
            }
            Self::Age => {
                let age = measure::read_age(text).filter(|age| !age.is_zero());
                let is_age = text == measure::NEVER || age.is_some();
                is_age.then(|| text.into())
            }
            Self::Bytes => measure::read_bytes(text)
                .filter(|bytes| *bytes > 0)
                .map(|_| text.into()),
            Self::Server => {
                let shown = |char: char| !char.is_control() && !char.is_whitespace();
                (!text.is_empty() && text.chars().all(shown)).then(|| text.into())
            }
            Self::Secret => Some(HIDDEN.into()),
        }
    }
}

/// What is shown in the place of a secret.
const HIDDEN: &str = "…hidden…";

/// What stands between commas, if anything does.
fn names(text: &str) -> impl Iterator<Item = &str> {
    let names = text.split(',').map(str::trim);
    names.filter(|name| !name.is_empty())
}

/// Nothing but letters and digits of ASCII, and these.
fn consists_of(text: &str, others: &str) -> bool {
    text.chars()
        .all(|char| char.is_ascii_alphanumeric() || others.contains(char))
}

/// A dotted name that Python could import; a file's name is none.
pub(crate) fn module(name: &str) -> Option<Value> {
    let is_file = name.rsplit_once('.').is_some_and(|(_, last)| last == "py");
    (!is_file && scan::is_module(name)).then(|| name.into())
}

impl Display for Kind {
    /// What is expected: `a whole number from 1 to 1000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name => write!(f, "1 to {ID_CHARS} of the characters A-Z a-z 0-9 _ . : -"),
            Self::Folder => f.write_str("a folder"),
            Self::File => f.write_str("a file"),
            Self::Program => f.write_str("an interpreter's path or name"),
            Self::Modules => f.write_str("names of modules, such as `shop.actions`"),
            Self::Whole(range) => {
                write!(
                    f,
                    "a whole number from {} to {}",
                    range.start(),
                    range.end()
                )
            }
            Self::Bool => f.write_str("true or false"),
            Self::Choice(choices) => match choices.split_last() {
                Some((last, others)) => write!(f, "{} or {last}", others.join(", ")),
                None => Ok(()),
            },
            Self::Abilities => f.write_str("names among landlock, namespaces and cgroup"),
            Self::Inputs => f.write_str("a table of parameters for each action id"),
            Self::Environment => f.write_str("a table of variables, each with its text"),
            Self::Address => f.write_str("an IP address and a port, such as `127.0.0.1:7878`"),
            Self::Names => {
                f.write_str("a name such as `shop.example.com`, without scheme and port")
            }
            Self::Time(range) => write!(
                f,
                "a duration from {}s to {}s, such as `15m` or `30s`",
                range.start(),
                range.end()
            ),
            Self::Age => f.write_str(
                "a duration from 1s to 36500d, such as `30d`, `12h` or `15m`, or `never`",
            ),
            Self::Bytes => f.write_str("a size, such as `10GB` or `500MB`"),
            Self::Server => f.write_str("the name or the URL of a server"),
            Self::Secret => f.write_str("a key, `sk_…`"),
        }
    }
}

impl Display for Default {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Is(text) | Self::Depends(text)) = self;
        f.write_str(text)
    }
}

/// Those of projects, then those of servers, then those of who asks a server.
pub(crate) fn all() -> impl Iterator<Item = &'static Setting> {
    SETTINGS.iter().chain(SERVING).chain(CLIENT)
}

pub(crate) const SETTINGS: &[Setting] = &[
    Setting {
        name: "project",
        kind: Kind::Folder,
        default: Default::Depends("the current folder"),
        flag: Some(Flag::Takes {
            name: "project",
            value: "DIR",
        }),
        places: Places::Variable,
        summary: "Act as if started in this folder",
        details: "`ziet serve` takes several of them. The project is the nearest folder, from there upwards, with a `ziet.toml` or a `[tool.ziet]` table in its \
                  `pyproject.toml`. Where there is none, it is the folder itself. The current folder of the code that runs \
                  stays the one that ziet was started in.",
        since: "0.1",
    },
    Setting {
        name: "name",
        kind: Kind::Name,
        default: Default::Depends(
            "`name` of `[project]` in pyproject.toml, else the folder's name with `-` for other characters",
        ),
        flag: None,
        places: Places::FileAndVariable,
        summary: "The id of the project",
        details: "",
        since: "0.1",
    },
    Setting {
        name: "modules",
        kind: Kind::Modules,
        default: Default::Depends("those in the project that import ziet"),
        flag: None,
        places: Places::FileAndVariable,
        summary: "The modules to import, in which the actions are",
        details: "Dotted names, such as `[\"shop.actions\"]`, in the variable with commas between them. They start from `src` \
                  if the project has such a folder, and from the project's own. Without the setting, hidden folders, \
                  environments and tests are left out.",
        since: "0.1",
    },
    Setting {
        name: "python",
        kind: Kind::Program,
        default: Default::Depends(
            "the interpreter beside ziet, else that of the active environment (VIRTUAL_ENV), else python3 on the path",
        ),
        flag: Some(Flag::Takes {
            name: "python",
            value: "PATH|NAME",
        }),
        places: Places::FileAndVariable,
        summary: "The Python that runs actions",
        details: "A path, in the file from the project's folder on and elsewhere from the current one, or a name that is looked \
                  for on the path. It must be Python 3.10 or later. `ziet doctor` says which one is used, and why.",
        since: "0.1",
    },
    Setting {
        name: "concurrency",
        kind: Kind::Whole(1..=1000),
        default: Default::Depends("4 for each processor"),
        flag: Some(Flag::Takes {
            name: "concurrency",
            value: "N",
        }),
        places: Places::FileAndVariable,
        summary: "How many attempts may execute at the same time",
        details: "Attempts that wait for actions that they have called do not count.",
        since: "0.1",
    },
    Setting {
        name: "start",
        kind: Kind::Choice(&["fork", "spawn"]),
        default: Default::Depends("fork, but on macOS spawn"),
        flag: None,
        places: Places::FileAndVariable,
        summary: "How the processes of actions are made",
        details: "`fork` copies a process that has imported the project, in milliseconds. `spawn` starts a fresh interpreter \
                  that imports the project itself: for libraries that cannot be forked. That takes as long as the import \
                  does, so from the end of the first attempt on one is kept ready.",
        since: "0.1",
    },
    Setting {
        name: "sandbox",
        kind: Kind::Choice(&["on", "off"]),
        default: Default::Depends("on for `ziet serve`, else off"),
        flag: Some(Flag::Takes {
            name: "sandbox",
            value: "on|off",
        }),
        places: Places::FileAndVariable,
        summary: "Whether the project's code is shut in",
        details: "With `on` it gets an environment and folders of its own, and cannot write, nor read what it does not need, \
                  anywhere else. It refuses to start where the system cannot do that. Limits of time and memory apply in \
                  either case. The file of a project cannot turn off that of a server.",
        since: "0.1",
    },
    Setting {
        name: "executor_attempts",
        kind: Kind::Whole(1..=1_000_000),
        default: Default::Is("1000"),
        flag: None,
        places: Places::FileAndVariable,
        summary: "After how many attempts a process is replaced",
        details: "So that what the project's code leaks does not add up.",
        since: "0.1",
    },
    Setting {
        name: "executor_growth",
        kind: Kind::Whole(1..=10_240),
        default: Default::Is("256"),
        flag: None,
        places: Places::FileAndVariable,
        summary: "By how many MB a process may have grown before it is replaced",
        details: "Looked at between attempts: what an attempt uses and gives back does not count.",
        since: "0.1",
    },
    Setting {
        name: "executor_idle",
        kind: Kind::Whole(1..=86_400),
        default: Default::Is("60"),
        flag: None,
        places: Places::FileAndVariable,
        summary: "After how many seconds without work a process is ended",
        details: "When the last one is gone, and as many seconds are over again, the process that has imported the project is \
                  ended too. The next run starts both again.",
        since: "0.1",
    },
    Setting {
        name: "without",
        kind: Kind::Abilities,
        default: Default::Is(""),
        flag: None,
        places: Places::Variable,
        summary: "What of the system not to use, although it is there",
        details: "Names with commas between them: `landlock`, `namespaces`, `cgroup`. To see, and to test, what Ziet does on a \
                  system that lacks them.",
        since: "0.1",
    },
    Setting {
        name: "backoff",
        kind: Kind::Bool,
        default: Default::Is("true"),
        flag: Some(Flag::Means {
            name: "no-backoff",
            value: "false",
            summary: "Retry at once instead of after 2, 4, 8, 16, and then 30 seconds",
        }),
        places: Places::FileAndVariable,
        summary: "Whether a retry waits",
        details: "2, 4, 8, 16, and then always 30 seconds; false starts it at once.",
        since: "0.1",
    },
    Setting {
        name: "ascii",
        kind: Kind::Bool,
        default: Default::Depends(
            "true in a terminal that can show no more (TERM=dumb), else false",
        ),
        flag: Some(Flag::Means {
            name: "ascii",
            value: "true",
            summary: "Print nothing but ASCII, so no emoji either",
        }),
        places: Places::FileAndVariable,
        summary: "Whether to print nothing but ASCII",
        details: "It is about what Ziet itself writes: what an action prints stays as it is.",
        since: "0.1",
    },
    Setting {
        name: "locals",
        kind: Kind::Bool,
        default: Default::Is("false"),
        flag: Some(Flag::Means {
            name: "locals",
            value: "true",
            summary: "Show the local variables of the project's code with each error",
        }),
        places: Places::FileAndVariable,
        summary: "Whether an error shows the local variables of the project's code",
        details: "Values are cut where they are long, and what has the name or the form of a secret (password, api_key, \
                  `Bearer …`) is hidden. What an attempt that timed out or crashed had in its variables cannot be known.",
        since: "0.1",
    },
    Setting {
        name: "color",
        kind: Kind::Choice(&["auto", "always", "never"]),
        default: Default::Is("auto"),
        flag: Some(Flag::Takes {
            name: "color",
            value: "WHEN",
        }),
        places: Places::FileAndVariable,
        summary: "When to print in colour",
        details: "`auto` is in terminals that can show it; it follows the variables NO_COLOR and CLICOLOR_FORCE.",
        since: "0.1",
    },
    Setting {
        name: "inputs",
        kind: Kind::Inputs,
        default: Default::Is("{}"),
        flag: None,
        places: Places::File,
        summary: "Test data: the parameters of a local run that is given none",
        details: "A table for each action, `[inputs.\"<action id>\"]`, with the parameters by name. Dates and times become text \
                  as in ISO 8601. It is used when a local run has neither --input nor -p; required parameters that it leaves \
                  out are made up.",
        since: "0.1",
    },
    Setting {
        name: "env",
        kind: Kind::Environment,
        default: Default::Is("{}"),
        flag: None,
        places: Places::File,
        summary: "Variables that the project's code finds in its environment",
        details: "A table `[env]` with the value of each as text. The import of the project has them as well. On a server, what was \
                  set there for the project (`ziet env set`) counts more; so does the variable of a shell where its environment is kept, \
                  as in local runs. What is secret does not belong into a file.",
        since: "0.1",
    },
];
