//! What the program takes from its surroundings: flags, variables, the project's file, and defaults.
//!
//! Which of them wins is decided here and nowhere else; commands are handed values.

mod client;
mod client_table;
mod dev_server;
mod environment;
mod file;
mod flags;
mod measure;
mod server_table;
mod serving;
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::thread::available_parallelism;
use std::time::Duration;

use anstream::ColorChoice;
use serde::Deserialize;
use serde_json::Value;
use ziet_core::limits::ID_CHARS;
use ziet_core::retry::Backoff;
use ziet_core::wire::StartMethod;
use ziet_core::{ActionId, Catalogue, Json, nearest};
use ziet_worker::python::{self, Found};
use ziet_worker::{Ability, PoolSettings, Project, Python, SDK_COMES_FROM, WorkerSettings};

pub(crate) use self::client::{Client, OfClient};
#[cfg(test)]
pub(crate) use self::client_table::CLIENT;
pub(crate) use self::dev_server::{Announced, DevServer, HIDDEN};
pub(crate) use self::environment::Environment;
use self::file::{File, Place};
pub(crate) use self::flags::Flags;
use self::flags::Part;
pub(crate) use self::measure::read_age;
#[cfg(test)]
pub(crate) use self::server_table::SERVING;
pub(crate) use self::serving::{LogFormat, OfDev, OfServer, OfState, Serving, state_folder};
pub(crate) use self::table::{Default, SETTINGS, Setting, all};
use crate::error::CliError;

/// Most actions wait for the network, so there may be more of them than processors.
const ATTEMPTS_PER_PROCESSOR: usize = 4;

const A_DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The value of every setting.
pub(crate) struct Settings {
    /// By the settings' names.
    given: BTreeMap<&'static str, Given>,
    values: Values,
    root: PathBuf,
    file: Option<&'static str>,
    python: Result<Python, CliError>,
    /// Variables of the project's code that the program's own environment has, too.
    in_shell: BTreeSet<String>,
    /// Where the test data of each action stands.
    input_places: BTreeMap<String, Place>,
    /// What is probably a mistake, in people's words.
    pub(crate) warnings: Vec<String>,
}

/// The values, typed.
#[derive(Deserialize)]
struct Values {
    name: String,
    modules: Option<Vec<String>>,
    concurrency: usize,
    start: StartMethod,
    /// None where nobody has said it.
    sandbox: Option<Switch>,
    executor_attempts: u32,
    executor_growth: u64,
    executor_idle: u64,
    without: Vec<Ability>,
    backoff: bool,
    ascii: bool,
    locals: bool,
    color: Color,
    inputs: BTreeMap<String, Value>,
    env: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Switch {
    On,
    Off,
}

/// How the program's own lines are to look.
pub(crate) struct Look {
    pub(crate) ascii: bool,
    pub(crate) color: ColorChoice,
}

/// A value and where it came from.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) value: Value,
    pub(crate) origin: Origin,
    /// How it stands there: `ZIET_ASCII=1`.
    stands: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    Flag(&'static str),
    Variable(String),
    File(Place),
    Default,
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "--{name}"),
            Self::Variable(name) => f.write_str(name),
            Self::File(place) => f.write_str(&place.short()),
            Self::Default => f.write_str("default"),
        }
    }
}

impl Given {
    fn read(
        setting: &Setting,
        text: &str,
        origin: Origin,
        stands: String,
    ) -> Result<Self, CliError> {
        match setting.kind.read(text) {
            Some(value) => Ok(Self {
                value,
                origin,
                stands,
            }),
            None => Err(CliError::usage(format!(
                "{stands}: expected {}",
                setting.kind
            ))),
        }
    }

    /// The file or folder that it names, seen from where it stands.
    fn path(&self, folder: &Path, root: &Path) -> PathBuf {
        let base = match self.origin {
            Origin::File(_) => root,
            Origin::Flag(_) | Origin::Variable(_) | Origin::Default => folder,
        };
        base.join(self.value.as_str().unwrap_or_default())
    }
}

impl Settings {
    /// # Errors
    /// When a value is wrong, or the file cannot be read.
    pub(crate) fn resolve(flags: &Flags, environment: &Environment) -> Result<Self, CliError> {
        let folder = environment.folder.clone()?;
        let given = all_given(flags, environment)?;
        let start = match given.get("project") {
            Some(project) => existing_folder(project, &folder)?,
            None => folder.clone(),
        };
        Self::with_file(given, File::find(&start, &folder)?, environment)
    }

    /// Those of a folder of code, whatever is above it and whichever folder the flags name.
    ///
    /// # Errors
    /// When a value is wrong, or the file cannot be read.
    pub(crate) fn of_code(
        root: &Path,
        flags: &Flags,
        environment: &Environment,
    ) -> Result<Self, CliError> {
        Self::with_file(all_given(flags, environment)?, File::at(root)?, environment)
    }

    fn with_file(
        mut given: BTreeMap<&'static str, Given>,
        file: File,
        environment: &Environment,
    ) -> Result<Self, CliError> {
        let folder = environment.folder.clone()?;
        for (name, value) in file.values {
            given.entry(name).or_insert(value);
        }
        let root = file.root;
        let python = find_python(given.get("python"), &folder, &root, environment);
        for setting in all() {
            given.entry(setting.name).or_insert_with(|| Given {
                value: default(setting, &root, python.as_ref().ok(), environment),
                origin: Origin::Default,
                stands: String::new(),
            });
        }
        given
            .entry("project")
            .and_modify(|project| project.value = shown(&root));
        let values = given
            .iter()
            .map(|(name, given)| ((*name).to_owned(), given.value.clone()));
        let values: Values = serde_json::from_value(Value::Object(values.collect()))
            .map_err(|error| CliError::failed("the settings", error))?;
        let in_shell = values.env.keys().filter(|name| environment.has(name));
        Ok(Self {
            in_shell: in_shell.cloned().collect(),
            given,
            values,
            root,
            file: file.name,
            python,
            input_places: file.input_places,
            warnings: environment.mistaken(),
        })
    }

    /// What a setting is, and where that came from.
    pub(crate) fn given(&self, setting: &Setting) -> &Given {
        &self.given[setting.name]
    }

    /// Where a setting comes from, by its name.
    pub(crate) fn origin(&self, name: &str) -> String {
        self.given[name].origin.to_string()
    }

    pub(crate) fn concurrency(&self) -> usize {
        self.values.concurrency
    }

    pub(crate) fn backoff(&self) -> Backoff {
        if self.values.backoff {
            Backoff::Exponential
        } else {
            Backoff::None
        }
    }

    /// Whether failures show the local variables of the project's code.
    pub(crate) fn locals(&self) -> bool {
        self.values.locals
    }

    pub(crate) fn look(&self) -> Look {
        Look {
            ascii: self.values.ascii,
            color: self.values.color.into(),
        }
    }

    /// The test data of an action.
    pub(crate) fn input(&self, action: &ActionId) -> Option<Json> {
        let input = self.values.inputs.get(action.as_str())?;
        Some(Json::trusted(input.to_string().into_bytes()))
    }

    /// # Errors
    /// When there is test data for an action that the project does not have.
    pub(crate) fn check_inputs(&self, catalogue: &Catalogue) -> Result<(), CliError> {
        // What does not import may have the action.
        if !catalogue.problems.is_empty() {
            return Ok(());
        }
        let known = |id: &str| catalogue.get(&ActionId::new(id)).is_some();
        let Some((id, place)) = self.input_places.iter().find(|(id, _)| !known(id)) else {
            return Ok(());
        };
        let ids = catalogue.actions().map(|action| action.id.as_str());
        let hint = nearest(id, ids.map(|id| (id, id))).first().map_or_else(
            || "`ziet actions` lists the ids there are".to_owned(),
            |near| format!("did you mean [inputs.{near:?}]?"),
        );
        let message = format!("{place}: [inputs.{id:?}]: there is no action with this id");
        Err(CliError::usage(message).hint(hint))
    }

    /// The id of the project.
    pub(crate) fn name(&self) -> &str {
        &self.values.name
    }

    /// The folder of the project.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The file that the project's settings are in, if there is one.
    pub(crate) fn file(&self) -> Option<&'static str> {
        self.file
    }

    /// The folder that holds the package `ziet`, when it is not the one that Python finds by itself.
    pub(crate) fn sdk(&self) -> Option<PathBuf> {
        sdk_of_this_checkout()
    }

    /// The interpreter that runs actions, and why it is that one.
    pub(crate) fn python(&self) -> Result<Python, CliError> {
        self.python.clone()
    }

    /// Has it executed by this interpreter, whatever it names.
    pub(crate) fn executed_by(mut self, path: PathBuf) -> Self {
        let found = Found::Setting;
        self.python = Ok(Python { path, found });
        self
    }

    /// Whether a server shuts in what is executed: no project's file decides that.
    pub(crate) fn shuts_in(&self) -> bool {
        let by_file = matches!(self.given["sandbox"].origin, Origin::File(_));
        by_file || self.values.sandbox != Some(Switch::Off)
    }

    /// What of the system not to use, although it is there.
    pub(crate) fn without(&self) -> Vec<Ability> {
        self.values.without.clone()
    }

    /// Whether the folder is meant to be a project: it was named, it has a file with settings, or code that imports ziet.
    pub(crate) fn is_project(&self) -> bool {
        let has_modules = || {
            self.project()
                .is_ok_and(|project| !project.modules.is_empty())
        };
        self.is_named() || self.file.is_some() || has_modules()
    }

    /// Whether whoever starts the program names the folder.
    pub(crate) fn is_named(&self) -> bool {
        self.given["project"].origin != Origin::Default
    }

    /// The interpreter to use where nothing of the project may be executed: as if its file named none.
    pub(crate) fn python_of_the_user(&self, environment: &Environment) -> Result<Python, CliError> {
        match self.given["python"].origin {
            Origin::File(_) => default_python(environment),
            Origin::Flag(_) | Origin::Variable(_) | Origin::Default => self.python(),
        }
    }

    /// Its modules are looked for if no setting names them.
    pub(crate) fn project(&self) -> Result<Project, CliError> {
        Project::new(&self.values.name, &self.root, self.values.modules.clone())
            .map_err(|error| CliError::usage(error.to_string()))
    }

    /// What it takes to serve the project: shut in unless whoever starts the server says otherwise.
    pub(crate) fn served_worker(&self) -> Result<WorkerSettings, CliError> {
        let sandbox = &self.given["sandbox"];
        if let (Some(Switch::Off), Origin::File(_)) = (self.values.sandbox, &sandbox.origin) {
            let message = format!(
                "{}: a project cannot let itself out of a server",
                sandbox.stands
            );
            return Err(CliError::usage(message)
                .hint("say --sandbox off, if all projects of this server are to be without one"));
        }
        let mut worker = self.worker()?;
        worker.sandbox = self.values.sandbox != Some(Switch::Off);
        worker.environment = self.variables(worker.sandbox);
        worker.describe = true;
        worker.pool.spare = 1;
        Ok(worker)
    }

    /// What the project's code has in its environment. Without a sandbox it has that of the shell, which goes before the file.
    fn variables(&self, sandbox: bool) -> Vec<(String, String)> {
        let all = self.values.env.iter();
        let own = all.filter(|(name, _)| sandbox || !self.in_shell.contains(*name));
        own.map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// Whether a sandbox is asked for.
    pub(crate) fn is_shut_in(&self) -> bool {
        self.values.sandbox == Some(Switch::On)
    }

    /// What it takes to serve the project to whoever works on it. What was imported last must outlive any pause: what stands in
    /// the folder by then may be broken.
    pub(crate) fn dev_worker(&self) -> Result<WorkerSettings, CliError> {
        let mut worker = self.worker()?;
        worker.describe = true;
        worker.pool.spare = 1;
        worker.pool.idle = A_DAY;
        Ok(worker)
    }

    /// What it takes to run the project.
    pub(crate) fn worker(&self) -> Result<WorkerSettings, CliError> {
        Ok(WorkerSettings {
            python: self.python()?,
            sdk: self.sdk(),
            project: self.project()?,
            describe: false,
            start: self.values.start,
            sandbox: self.is_shut_in(),
            without: self.without(),
            pool: PoolSettings {
                // One command has one run, and what it calls.
                spare: 0,
                attempts: self.values.executor_attempts,
                growth_bytes: self.values.executor_growth * 1024 * 1024,
                idle: Duration::from_secs(self.values.executor_idle),
            },
            environment: self.variables(self.is_shut_in()),
        })
    }
}

impl Look {
    /// As far as flags and variables say it: what is wrong with the settings has to be shown, too.
    pub(crate) fn without_file(flags: &Flags, environment: &Environment) -> Self {
        let given = |name| {
            let setting = SETTINGS.iter().find(|setting| setting.name == name)?;
            let given = given_outside(setting, flags, environment).ok()??;
            Some(given.value)
        };
        let color = given("color").and_then(|color| serde_json::from_value(color).ok());
        Self {
            ascii: given("ascii").map_or(environment.dumb_terminal, |ascii| ascii == true),
            color: color.unwrap_or(Color::Auto).into(),
        }
    }
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// What flags and variables say.
fn all_given(
    flags: &Flags,
    environment: &Environment,
) -> Result<BTreeMap<&'static str, Given>, CliError> {
    let mut given = BTreeMap::new();
    for setting in all() {
        let value = given_outside(setting, flags, environment)?;
        given.extend(value.map(|value| (setting.name, value)));
    }
    Ok(given)
}

/// By a flag, else by a variable.
fn given_outside<P: Part>(
    setting: &Setting,
    flags: &Flags<P>,
    environment: &Environment,
) -> Result<Option<Given>, CliError> {
    let flag = flags.given(setting)?;
    flag.map_or_else(|| environment.given(setting), |given| Ok(Some(given)))
}

/// The nearest folder, from `folder` upwards, that is a project because of its file.
pub(crate) fn configured_root(folder: &Path) -> Result<Option<PathBuf>, CliError> {
    let file = File::find(folder, folder)?;
    Ok(file.name.map(|_| file.root))
}

fn default(
    setting: &Setting,
    root: &Path,
    python: Option<&Python>,
    environment: &Environment,
) -> Value {
    match (setting.name, &setting.default) {
        (_, Default::Is(text)) => setting.kind.read(text).unwrap_or_default(),
        ("project", Default::Depends(_)) => shown(root),
        ("name", Default::Depends(_)) => name_of(root).into(),
        ("python", Default::Depends(_)) => python.map(|python| shown(&python.path)).into(),
        ("concurrency", Default::Depends(_)) => {
            let processors = available_parallelism().map_or(1, NonZero::get);
            (processors * ATTEMPTS_PER_PROCESSOR).into()
        }
        // Apple's own libraries start threads which do not survive a fork.
        ("start", Default::Depends(_)) if cfg!(target_os = "macos") => "spawn".into(),
        ("start", Default::Depends(_)) => "fork".into(),
        ("ascii", Default::Depends(_)) => environment.dumb_terminal.into(),
        ("state", Default::Depends(_)) => serving::default_state(environment),
        (_, Default::Depends(_)) => Value::Null,
    }
}

/// The folder's name in the characters that a project's name has everywhere, also in a URL or a header.
pub(crate) fn name_of(folder: &Path) -> String {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let kept = name.replace(
        |char: char| !(char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-')),
        "-",
    );
    let kept = &kept[..kept.len().min(ID_CHARS)];
    let kept = kept.trim_matches(['-', '.']);
    if kept.is_empty() { "project" } else { kept }.to_owned()
}

fn shown(path: &Path) -> Value {
    path.to_string_lossy().into()
}

fn existing_folder(given: &Given, folder: &Path) -> Result<PathBuf, CliError> {
    let path = given.path(folder, folder);
    let real = fs_err::canonicalize(&path).ok();
    let wrong = if real.as_ref().is_some_and(|path| path.is_file()) {
        "it is a file; name the folder that it is in"
    } else {
        "there is no such folder"
    };
    real.filter(|path| path.is_dir())
        .ok_or_else(|| CliError::usage(format!("{}: {wrong}", given.stands)))
}

fn find_python(
    given: Option<&Given>,
    folder: &Path,
    root: &Path,
    environment: &Environment,
) -> Result<Python, CliError> {
    let Some(given) = given else {
        return default_python(environment);
    };
    let text = given.value.as_str().unwrap_or_default();
    let found = if text.contains('/') {
        Some(given.path(folder, root)).filter(|path| path.is_file())
    } else {
        python::on_path(text, environment.path.as_deref())
    };
    let found = found.map(|path| Python {
        path,
        found: Found::Setting,
    });
    found.ok_or_else(|| {
        let missing = if text.contains('/') {
            "there is no such file"
        } else {
            "there is no program of this name on the path"
        };
        CliError::usage(format!("{}: {missing}", given.stands))
            .hint("name an interpreter, such as `.venv/bin/python` or `python3.12`")
    })
}

fn default_python(environment: &Environment) -> Result<Python, CliError> {
    let program = std::env::current_exe().unwrap_or_default();
    let (active, path) = (&environment.virtual_env, &environment.path);
    python::find(&program, active.as_deref(), path.as_deref()).ok_or_else(|| {
        CliError::usage(
            "no Python: none beside this program, in VIRTUAL_ENV, or named python3 on the path",
        )
        .hint(format!("install Python 3.10 or later; {SDK_COMES_FROM}"))
    })
}

/// A debug build that stands in cargo's folder takes the SDK from the sources beside it.
fn sdk_of_this_checkout() -> Option<PathBuf> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let program = std::env::current_exe().ok()?;
    let in_target = program.ancestors().any(|folder| folder.ends_with("target"));
    let sdk = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../python"));
    in_target.then(|| fs_err::canonicalize(sdk).ok()).flatten()
}
