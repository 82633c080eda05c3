//! What a project says that it needs, in the files in which Python projects say so.
//!
//! What stands there was written by anybody: of it only versions ever get onto a command line.

use std::fmt::{self, Display};
use std::io::ErrorKind;
use std::path::Path;

use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use super::BuildError;
use crate::bundle;

/// The oldest Python that the SDK runs on.
const OLDEST: &str = ">=3.10";

const LOCK: &str = "uv.lock";
const REQUIREMENTS: &str = "requirements.txt";
const PYPROJECT: &str = "pyproject.toml";

/// What a project needs.
pub(super) struct Wanted {
    pub(super) source: Source,
    /// `requires-python`, where there is one.
    requires_python: Option<String>,
    /// Of all that decides what is installed.
    pub(super) content: Vec<u8>,
    /// Whether something of the project's own folder is installed.
    pub(super) local: bool,
}

/// Where dependencies stand; of several, the first one counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Lock,
    Requirements,
    Pyproject,
    Nothing,
}

impl Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lock => "dependencies of uv.lock",
            Self::Requirements => "dependencies of requirements.txt",
            Self::Pyproject => "dependencies of pyproject.toml",
            Self::Nothing => "no dependencies",
        })
    }
}

impl Wanted {
    /// # Errors
    /// When a file is there and cannot be understood.
    pub(super) fn of(code: &Path) -> Result<Self, BuildError> {
        let parsed = |name: &str, text: &Option<String>| {
            text.as_deref().map(|text| table(name, text)).transpose()
        };
        let (lock, requirements) = (read(code, LOCK)?, read(code, REQUIREMENTS)?);
        let about = parsed(PYPROJECT, &read(code, PYPROJECT)?)?.unwrap_or_default();
        let locked = parsed(LOCK, &lock)?;
        let project = about.get("project").and_then(Value::as_table);
        let requires_python = project.and_then(|project| project.get("requires-python"));
        let requires_python = requires_python.map(versions).transpose()?;
        let settings = about.get("tool").and_then(|tools| tools.get("uv"));
        let dependencies = project.and_then(|project| project.get("dependencies"));
        let dynamic = project
            .and_then(|project| project.get("dynamic"))
            .is_some_and(|dynamic| names(dynamic, "dependencies"));
        let (source, text, local) = match (&locked, &requirements) {
            (Some(locked), _) => (
                Source::Lock,
                lock.unwrap_or_default(),
                local_in_lock(locked),
            ),
            (None, Some(text)) => (
                Source::Requirements,
                text.clone(),
                local_in_requirements(text),
            ),
            (None, None) if dynamic || dependencies.is_some_and(needs_more_than_sdk) => (
                Source::Pyproject,
                String::new(),
                dynamic || dependencies.is_some_and(|list| names(list, " @ ")),
            ),
            (None, None) => (Source::Nothing, String::new(), false),
        };
        let local = source != Source::Nothing && (local || settings.is_some_and(local_in_settings));
        let mut content = Sha256::new();
        for part in [
            source.to_string(),
            text,
            requires_python.clone().unwrap_or_default(),
            dependencies.map(Value::to_string).unwrap_or_default(),
            settings.map(Value::to_string).unwrap_or_default(),
            if local {
                content_of(code)?
            } else {
                String::new()
            },
        ] {
            content.update((part.len() as u64).to_be_bytes());
            content.update(part);
        }
        Ok(Self {
            source,
            requires_python,
            content: content.finalize().to_vec(),
            local,
        })
    }

    /// Whether an interpreter of this version fits; None where uv has to say.
    pub(super) fn allows(&self, version: &str) -> Option<bool> {
        let clauses = self
            .requires_python
            .as_deref()
            .unwrap_or_default()
            .split(',');
        let mut clauses = clauses
            .map(str::trim)
            .filter(|clause| !clause.is_empty())
            .chain([OLDEST]);
        clauses.try_fold(true, |fits, clause| Some(fits && allows(clause, version)?))
    }

    /// What uv is asked for.
    pub(super) fn request(&self) -> String {
        let clauses = self.requires_python.iter().map(String::as_str);
        clauses.chain([OLDEST]).collect::<Vec<_>>().join(",")
    }

    /// For people: `requires-python = ">=3.12" in pyproject.toml`.
    pub(super) fn place(&self) -> String {
        self.requires_python.as_ref().map_or_else(
            || format!("Ziet (`{OLDEST}`)"),
            |versions| {
                format!(
                    "`requires-python = \"{versions}\"` of {PYPROJECT} (and `{OLDEST}` of Ziet)"
                )
            },
        )
    }
}

/// None where there is no such file.
fn read(code: &Path, name: &str) -> Result<Option<String>, BuildError> {
    match fs_err::read_to_string(code.join(name)) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) if error.kind() == ErrorKind::InvalidData => {
            Err(BuildError::Project(format!("{name}: not UTF-8")))
        }
        Err(error) => Err(error.into()),
    }
}

fn table(name: &str, text: &str) -> Result<Table, BuildError> {
    text.parse().map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text[..start].matches('\n').count() + 1;
        BuildError::Project(format!(
            "{name}, line {line}: not TOML: {}",
            error.message().replace('\n', ", ")
        ))
    })
}

/// A list of versions, in which nothing else can stand.
fn versions(value: &Value) -> Result<String, BuildError> {
    let fits = |char: char| char.is_ascii_alphanumeric() || " .,<>=!~*+".contains(char);
    match value.as_str() {
        Some(text)
            if text.chars().all(fits)
                && text.trim_start().starts_with(['<', '>', '=', '!', '~']) =>
        {
            Ok(text.trim().to_owned())
        }
        Some(text) if text.trim().is_empty() => Ok(String::new()),
        _ => Err(BuildError::Project(format!(
            "{PYPROJECT}: requires-python: expected versions such as \">=3.10\", got {value}"
        ))),
    }
}

/// One clause of a list of versions; None of what is rare.
fn allows(clause: &str, version: &str) -> Option<bool> {
    let start = clause.find(|char| !"<>=!~".contains(char))?;
    let (operator, wanted) = clause.split_at(start);
    let numbers = |text: &str| {
        text.trim()
            .split('.')
            .map(|part| part.parse().ok())
            .collect::<Option<Vec<u32>>>()
    };
    let mut found = numbers(version)?;
    let (mut wanted, any) = match wanted.strip_suffix(".*") {
        Some(start) => (numbers(start)?, true),
        None => (numbers(wanted)?, false),
    };
    let begins =
        |count: usize, wanted: &[u32]| found.iter().chain(&[0; 8]).take(count).eq(&wanted[..count]);
    match (operator, any) {
        ("==", true) => return Some(begins(wanted.len(), &wanted)),
        ("!=", true) => return Some(!begins(wanted.len(), &wanted)),
        (_, true) => return None,
        ("~=", false) if wanted.len() > 1 && !begins(wanted.len() - 1, &wanted) => {
            return Some(false);
        }
        _ => {}
    }
    let length = found.len().max(wanted.len());
    found.resize(length, 0);
    wanted.resize(length, 0);
    match operator {
        ">=" | "~=" => Some(found >= wanted),
        ">" => Some(found > wanted),
        "<=" => Some(found <= wanted),
        "<" => Some(found < wanted),
        "==" => Some(found == wanted),
        "!=" => Some(found != wanted),
        _ => None,
    }
}

/// Whether a text stands in one of a list.
fn names(list: &Value, text: &str) -> bool {
    let mut items = list.as_array().into_iter().flatten();
    items.any(|item| item.as_str().is_some_and(|item| item.contains(text)))
}

/// The SDK is the server's, whatever the project says of it.
fn needs_more_than_sdk(dependencies: &Value) -> bool {
    let mut items = dependencies
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str);
    items.any(|item| {
        let name = item.trim_start();
        let end = name.find(|char: char| !(char.is_ascii_alphanumeric() || "-_.".contains(char)));
        !name[..end.unwrap_or(name.len())].eq_ignore_ascii_case("ziet")
    })
}

/// Whether packages come from the project's folder, but for the project itself, which is not installed.
fn local_in_lock(lock: &Table) -> bool {
    let packages = lock
        .get("package")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let mut sources = packages.filter_map(|package| package.get("source")?.as_table());
    sources.any(|source| {
        let folder = ["path", "directory", "editable", "virtual", "registry"]
            .iter()
            .filter_map(|kind| source.get(*kind));
        let mut folder = folder.filter_map(Value::as_str);
        folder.any(|place| place != "." && !place.contains("://"))
    })
}

/// Anything but names with versions, hashes and addresses of indexes may be a file.
fn local_in_requirements(text: &str) -> bool {
    let plain = [
        "--hash",
        "--index-url",
        "-i",
        "--extra-index-url",
        "--no-binary",
        "--only-binary",
        "--require-hashes",
        "--pre",
    ];
    text.lines().map(str::trim).any(|line| {
        let line = line.split(" #").next().unwrap_or_default();
        let first = line.split([' ', '=', '\\']).next().unwrap_or_default();
        if line.is_empty() || line.starts_with('#') {
            return false;
        }
        if line.starts_with('-') {
            return !plain.contains(&first);
        }
        line.starts_with('.')
            || line.contains("file:")
            || line.contains('/') && !line.contains("://")
    })
}

fn local_in_settings(settings: &Value) -> bool {
    let sources = settings
        .get("sources")
        .map(Value::to_string)
        .unwrap_or_default();
    let indexes = ["index", "find-links", "index-url", "extra-index-url"]
        .map(|key| settings.get(key).map(Value::to_string));
    sources.contains("path")
        || sources.contains("workspace")
        || settings.get("workspace").is_some()
        || indexes.iter().flatten().any(|index| !index.contains("://"))
}

fn content_of(code: &Path) -> Result<String, BuildError> {
    let found = bundle::survey(code, &mut |_| ());
    let found = found.map_err(|error| BuildError::Project(error.to_string()))?;
    Ok(found.digest.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(files: &[(&str, &str)]) -> Result<Wanted, BuildError> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs_err::write(folder.path().join(name), text).unwrap();
        }
        Wanted::of(folder.path())
    }

    fn pyproject(text: &str) -> Wanted {
        wanted(&[(PYPROJECT, &format!("[project]\nname = 'x'\n{text}"))]).unwrap()
    }

    #[test]
    fn the_lock_goes_first_and_what_is_only_ziet_is_nothing() {
        let lock = (LOCK, "version = 1\n");
        let requirements = (REQUIREMENTS, "pandas\n");
        let about = (PYPROJECT, "[project]\ndependencies = ['pandas']\n");
        assert_eq!(
            wanted(&[lock, requirements, about]).unwrap().source,
            Source::Lock
        );
        assert_eq!(
            wanted(&[requirements, about]).unwrap().source,
            Source::Requirements
        );
        assert_eq!(wanted(&[about]).unwrap().source, Source::Pyproject);
        assert_eq!(wanted(&[]).unwrap().source, Source::Nothing);
        for nothing in [
            "",
            "dependencies = []",
            "dependencies = ['ziet>=0.1', 'Ziet']",
        ] {
            assert_eq!(pyproject(nothing).source, Source::Nothing, "{nothing}");
        }
        for something in [
            "dependencies = ['ziet-tools']",
            "dynamic = ['dependencies']",
        ] {
            assert_eq!(
                pyproject(something).source,
                Source::Pyproject,
                "{something}"
            );
        }
    }

    #[test]
    fn versions_are_compared_as_packaging_does() {
        let fits = |clauses: &str, version: &str| {
            pyproject(&format!("requires-python = '{clauses}'")).allows(version)
        };
        for (clauses, version, expected) in [
            (">=3.10", "3.9.18", Some(false)),
            (">=3.10", "3.10.0", Some(true)),
            (">=3.10,<3.13", "3.13.1", Some(false)),
            (">3.11", "3.11.0", Some(false)),
            ("<=3.12", "3.12.1", Some(false)),
            ("==3.12.*", "3.12.7", Some(true)),
            ("!=3.12.*", "3.12.7", Some(false)),
            ("~=3.11", "3.14.0", Some(true)),
            ("~=3.11.2", "3.12.0", Some(false)),
            ("==3.12", "3.12.0", Some(true)),
            ("!=3.12.3", "3.12.3", Some(false)),
            (">=3.8,<3.10", "3.9.1", Some(false)),
            ("", "3.11.2", Some(true)),
            (">=3.13.0rc1", "3.13.0", None),
            ("===3.12.1", "3.12.1", None),
        ] {
            assert_eq!(fits(clauses, version), expected, "{clauses} {version}");
        }
        assert_eq!(
            pyproject("requires-python = '>=3.12'").request(),
            ">=3.12,>=3.10"
        );
    }

    #[test]
    fn nothing_but_versions_gets_onto_a_command_line() {
        for wrong in [
            "/tmp/evil",
            ">=3.10 /tmp/evil",
            "--help",
            "python3",
            "3.12",
            ">=3.10; x",
            "cpython@3.12",
        ] {
            let error = wanted(&[(
                PYPROJECT,
                &format!("[project]\nrequires-python = '{wrong}'\n"),
            )])
            .err()
            .unwrap();
            assert!(error.to_string().contains("requires-python"), "{error}");
        }
    }

    #[test]
    fn what_is_not_understood_is_told_with_its_line() {
        let error = wanted(&[(PYPROJECT, "[project]\nname = \n")])
            .err()
            .unwrap()
            .to_string();
        assert!(
            error.starts_with("pyproject.toml, line 2: not TOML: "),
            "{error}"
        );
    }

    #[test]
    fn only_what_decides_what_is_installed_makes_another_environment() {
        let of = |files: &[(&str, &str)]| wanted(files).unwrap().content;
        let (lock, about) = (
            (LOCK, "version = 1\n"),
            (PYPROJECT, "[project]\nname = 'x'\n"),
        );
        let other = (
            PYPROJECT,
            "[project]\nname = 'x'\nversion = '2'\n[tool.ruff]\nline-length = 120\n",
        );
        assert_eq!(of(&[lock, about]), of(&[lock, other, ("actions.py", "")]));
        assert_ne!(of(&[lock, about]), of(&[(LOCK, "version = 2\n"), about]));
        assert_ne!(
            of(&[lock, about]),
            of(&[lock, (PYPROJECT, "[project]\nrequires-python = '>=3.12'")])
        );
        assert_ne!(
            of(&[lock, about]),
            of(&[lock, (PYPROJECT, "[tool.uv]\nindex-url = 'https://x'")])
        );
    }

    #[test]
    fn what_is_installed_from_the_folder_counts_as_a_whole() {
        let local = |file: (&str, &str)| wanted(&[file]).unwrap().local;
        let package = |source: &str| format!("[[package]]\nname = 'x'\nsource = {{ {source} }}\n");
        for plain in [
            "registry = 'https://pypi.org/simple'",
            "virtual = '.'",
            "git = 'https://x/y'",
        ] {
            assert!(!local((LOCK, &package(plain))), "{plain}");
        }
        for own in [
            "directory = 'lib'",
            "editable = 'lib'",
            "path = 'x.whl'",
            "registry = 'wheels'",
        ] {
            assert!(local((LOCK, &package(own))), "{own}");
        }
        for plain in [
            "pandas==2 # ./x",
            "# -r x\n\na @ https://x/a.whl",
            "--index-url https://x\nb>=1 \\\n    --hash=sha256:1",
        ] {
            assert!(!local((REQUIREMENTS, plain)), "{plain}");
        }
        for own in [
            "-r more.txt",
            "-e .",
            "./lib",
            "lib/x.whl",
            "x @ file:///y",
            "-c limits.txt",
        ] {
            assert!(local((REQUIREMENTS, own)), "{own}");
        }
        assert!(local((
            PYPROJECT,
            "[project]\ndependencies = ['x']\n[tool.uv.sources]\nx = { path = 'lib' }"
        )));
        assert!(!local((
            PYPROJECT,
            "[project]\ndependencies = ['x']\n[tool.uv.sources]\nx = { git = 'https://a/b' }"
        )));
    }
}
