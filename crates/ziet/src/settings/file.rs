//! The file of a project: finds it, and reads from it what the table of settings allows, each value with its place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use ziet_core::nearest;

use super::table::{self, Kind, SETTINGS, module};
use super::{Given, Origin};
use crate::error::CliError;

/// A folder that has a configuration, and what that says.
pub(crate) struct File {
    pub(crate) root: PathBuf,
    /// What the file with the settings is called; None where there is none.
    pub(crate) name: Option<&'static str>,
    /// By the settings' names.
    pub(crate) values: BTreeMap<&'static str, Given>,
    /// Where the test data of each action stands.
    pub(crate) input_places: BTreeMap<String, Place>,
}

impl File {
    /// That of the nearest folder, from `start` upwards, that has a `ziet.toml` or a table `[tool.ziet]`; else `start`
    /// without settings. `current` is the folder from which the file's name is told.
    pub(crate) fn find(start: &Path, current: &Path) -> Result<Self, CliError> {
        let mut found = start.ancestors().map(|root| {
            let is_above = root != start;
            Self::of(root, current, is_above)
        });
        let found = found.find_map(Result::transpose).transpose()?;
        found.map_or_else(|| Self::without_settings(start, current), Ok)
    }

    /// That of this folder, whatever stands in those above it.
    pub(crate) fn at(root: &Path) -> Result<Self, CliError> {
        let own = Self::of(root, root, false)?;
        own.map_or_else(|| Self::without_settings(root, root), Ok)
    }

    fn without_settings(root: &Path, current: &Path) -> Result<Self, CliError> {
        let python = Source::read(root, current, "pyproject.toml")?;
        let table = python.as_ref().map(Source::parse).transpose()?;
        let name = python.as_ref().zip(table.as_ref());
        let name = name.and_then(|(python, table)| python.project_name(table));
        Ok(Self {
            root: root.to_owned(),
            name: None,
            values: name.map(|name| ("name", name)).into_iter().collect(),
            input_places: BTreeMap::new(),
        })
    }

    /// What `is_above` may be anybody's, so whatever is wrong there is passed over unless it speaks of ziet.
    fn of(root: &Path, current: &Path, is_above: bool) -> Result<Option<Self>, CliError> {
        let read = |name| match Source::read(root, current, name) {
            Err(_) if is_above => Ok(None),
            read => read,
        };
        let (own, python) = (read("ziet.toml")?, read("pyproject.toml")?);
        let own_table = own.as_ref().map(Source::parse).transpose()?;
        let may_be_wrong =
            |python: &Source| is_above && own.is_none() && !python.text.contains("[tool.ziet");
        let python_table = match python.as_ref().map(|python| (python, python.parse())) {
            Some((python, Err(_))) if may_be_wrong(python) => None,
            parsed => parsed.map(|(_, table)| table).transpose()?,
        };
        let tool = python_table.as_ref().and_then(|table| {
            let tools = table.get("tool")?.get_ref().as_table()?;
            tools.get_key_value("ziet")
        });
        let (source, table) = match (&own, &own_table, &python, tool) {
            (Some(_), Some(_), Some(python), Some((key, _))) => {
                let place = python.place(&key.span());
                return Err(CliError::usage(format!(
                    "{place}: the table [tool.ziet] stands beside a ziet.toml"
                ))
                .hint("keep the settings in one of the two"));
            }
            (Some(own), Some(table), ..) => (own, table),
            (_, _, Some(python), Some((key, table))) => match table.get_ref().as_table() {
                Some(table) => (python, table),
                None => return Err(python.expected(key, table, "a table")),
            },
            _ => return Ok(None),
        };
        let mut values = source.settings(table)?;
        if let (Some(python), Some(table)) = (&python, &python_table)
            && let Some(name) = python.project_name(table)
        {
            values.entry("name").or_insert(name);
        }
        Ok(Some(Self {
            root: root.to_owned(),
            name: Some(source.name),
            values,
            input_places: source.input_places(table),
        }))
    }
}

type Key<'text> = Spanned<Cow<'text, str>>;

/// Where something stands, as people find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    file: String,
    line: usize,
}

impl Place {
    /// `ziet.toml line 3`
    pub(crate) fn short(&self) -> String {
        format!("{} line {}", self.file, self.line)
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, line {}", self.file, self.line)
    }
}

/// The text of a file.
struct Source {
    name: &'static str,
    /// From the current folder on, if it lies below.
    shown: String,
    text: String,
}

impl Source {
    /// None when there is no such file.
    fn read(root: &Path, folder: &Path, name: &'static str) -> Result<Option<Self>, CliError> {
        let file = root.join(name);
        let shown = file.strip_prefix(folder).unwrap_or(&file);
        match fs_err::read_to_string(&file) {
            Ok(text) => Ok(Some(Self {
                name,
                shown: shown.display().to_string(),
                text,
            })),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(CliError::usage(error.to_string())),
        }
    }

    fn parse(&self) -> Result<DeTable<'_>, CliError> {
        DeTable::parse(&self.text)
            .map(Spanned::into_inner)
            .map_err(|error| {
                let start = error.span().map_or(0, |span| span.start);
                let line = self.text[..start].rsplit('\n').next().unwrap_or_default();
                let place = self.place(&(start..start));
                let column = line.chars().count() + 1;
                let message = error.message().replace('\n', ", ");
                CliError::usage(format!("{place}, column {column}: not TOML: {message}"))
            })
    }

    fn place(&self, span: &Range<usize>) -> Place {
        let before = &self.text[..span.start];
        Place {
            file: self.shown.clone(),
            line: before.matches('\n').count() + 1,
        }
    }

    /// What packaging calls the project.
    fn project_name(&self, table: &DeTable<'_>) -> Option<Given> {
        let project = table.get("project")?.get_ref().as_table()?;
        let (key, name) = project.get_key_value("name")?;
        Some(Given {
            value: scalar(&Kind::Name, name.get_ref())?,
            origin: Origin::File(self.place(&key.span())),
            stands: String::new(),
        })
    }

    fn settings(&self, table: &DeTable<'_>) -> Result<BTreeMap<&'static str, Given>, CliError> {
        let read = |(key, value): (&Key<'_>, &Spanned<DeValue<'_>>)| {
            let setting = SETTINGS
                .iter()
                .find(|setting| setting.in_file() && setting.name == key.get_ref())
                .ok_or_else(|| self.unknown(key))?;
            let read = match (&setting.kind, value.get_ref()) {
                (Kind::Inputs, DeValue::Table(inputs)) => Some(self.inputs(inputs)?),
                (Kind::Environment, DeValue::Table(all)) => Some(self.environment(all)?),
                (kind, value) => scalar(kind, value),
            };
            let given = Given {
                value: read.ok_or_else(|| self.expected(key, value, &setting.kind))?,
                origin: Origin::File(self.place(&key.span())),
                stands: self.stands(key, value),
            };
            Ok((setting.name, given))
        };
        table.iter().map(read).collect()
    }

    /// The parameters of each action, as JSON.
    fn inputs(&self, inputs: &DeTable<'_>) -> Result<Value, CliError> {
        let actions = inputs.iter().map(|(action, input)| {
            if !input.get_ref().is_table() {
                return Err(self.expected(action, input, "a table of parameters"));
            }
            Ok((action.get_ref().to_string(), self.json(action, input)?))
        });
        actions.collect::<Result<_, _>>().map(Value::Object)
    }

    fn environment(&self, all: &DeTable<'_>) -> Result<Value, CliError> {
        let variables = all.iter().map(|(name, value)| {
            let text = value.get_ref().as_str();
            let text = text.filter(|text| !text.contains('\0'));
            let text = text.ok_or_else(|| self.expected(name, value, "text in quotes"))?;
            if !is_variable(name.get_ref()) {
                let what = "a name of letters, digits and `_` that does not begin with a digit or with ZIET_";
                return Err(self.expected(name, value, what));
            }
            Ok((name.get_ref().to_string(), text.into()))
        });
        variables.collect::<Result<_, _>>().map(Value::Object)
    }

    fn input_places(&self, table: &DeTable<'_>) -> BTreeMap<String, Place> {
        let inputs = table
            .get("inputs")
            .and_then(|inputs| inputs.get_ref().as_table());
        let actions = inputs.into_iter().flatten();
        actions
            .map(|(action, _)| (action.get_ref().to_string(), self.place(&action.span())))
            .collect()
    }

    fn json(&self, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> Result<Value, CliError> {
        let number = |number: Option<serde_json::Number>| {
            let found = number.map(Value::Number);
            found.ok_or_else(|| self.expected(key, value, "a number that JSON has"))
        };
        match value.get_ref() {
            DeValue::String(text) => Ok(text.as_ref().into()),
            DeValue::Boolean(truth) => Ok((*truth).into()),
            DeValue::Datetime(time) => Ok(time.to_string().into()),
            DeValue::Integer(whole) => number(
                i64::from_str_radix(whole.as_str(), whole.radix())
                    .ok()
                    .map(Into::into),
            ),
            DeValue::Float(float) => {
                let float = float.as_str().parse().ok();
                number(float.and_then(serde_json::Number::from_f64))
            }
            DeValue::Array(items) => items.iter().map(|item| self.json(key, item)).collect(),
            DeValue::Table(table) => table
                .iter()
                .map(|(key, value)| Ok((key.get_ref().to_string(), self.json(key, value)?)))
                .collect::<Result<_, _>>()
                .map(Value::Object),
        }
    }

    fn unknown(&self, key: &Key<'_>) -> CliError {
        let names = || {
            SETTINGS
                .iter()
                .filter(|setting| setting.in_file())
                .map(|setting| setting.name)
        };
        let place = self.place(&key.span());
        if let Some(setting) = table::all().find(|setting| setting.name == key.get_ref()) {
            let flag = setting
                .flag
                .as_ref()
                .map(|flag| format!("--{}", flag.name()));
            let ways: Vec<String> = flag.into_iter().chain(setting.variable()).collect();
            let message = format!("{place}: `{}` cannot be set in a file", setting.name);
            return CliError::usage(message).hint(format!("give it as {}", ways.join(" or ")));
        }
        let near = nearest(key.get_ref(), names().map(|name| (name, name)));
        let hint = match near.first() {
            None if key.get_ref() == "tool" => {
                "in ziet.toml the settings stand without [tool.ziet]".to_owned()
            }
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
        };
        CliError::usage(format!("{place}: there is no setting `{}`", key.get_ref())).hint(hint)
    }

    fn expected(
        &self,
        key: &Key<'_>,
        value: &Spanned<DeValue<'_>>,
        what: impl Display,
    ) -> CliError {
        CliError::usage(format!("{}: expected {what}", self.stands(key, value)))
    }

    /// `ziet.toml, line 3: concurrency = "many"`
    fn stands(&self, key: &Key<'_>, value: &Spanned<DeValue<'_>>) -> String {
        let name = &self.text[key.span()];
        let text = &self.text[value.span()];
        let line = text.lines().next().unwrap_or_default();
        let cut: String = line.chars().take(60).collect();
        let more = if cut.len() < text.len() { " …" } else { "" };
        format!("{}: {name} = {cut}{more}", self.place(&key.span()))
    }
}

fn is_variable(name: &str) -> bool {
    let first = |char: char| char.is_ascii_alphabetic() || char == '_';
    name.starts_with(first)
        && name
            .chars()
            .all(|char| first(char) || char.is_ascii_digit())
        && !name.starts_with("ZIET_")
}

fn scalar(kind: &Kind, value: &DeValue<'_>) -> Option<Value> {
    match (kind, value) {
        (Kind::Modules, DeValue::Array(names)) => {
            let names = names.iter().map(|name| module(name.get_ref().as_str()?));
            names.collect::<Option<Vec<_>>>().map(Value::from)
        }
        (Kind::Whole(_), DeValue::Integer(number)) => {
            let number = u32::from_str_radix(number.as_str(), number.radix()).ok()?;
            kind.read(&number.to_string())
        }
        (Kind::Bool, DeValue::Boolean(truth)) => Some((*truth).into()),
        (Kind::Name | Kind::Folder | Kind::Program | Kind::Choice(_), DeValue::String(text)) => {
            kind.read(text)
        }
        _ => None,
    }
}
