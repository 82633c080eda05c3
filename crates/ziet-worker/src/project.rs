//! A project: the folder, its configuration, and the modules in which its actions are.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use ziet_core::ProjectId;

use crate::scan;

/// A folder of code with its actions.
#[derive(Clone, Debug)]
pub struct Project {
    pub id: ProjectId,
    pub root: PathBuf,
    /// Folders that imports start from: `src` if there is one, and the root.
    pub paths: Vec<PathBuf>,
    /// The modules to import, by their dotted names.
    pub modules: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    #[error("{0}")]
    Read(#[from] std::io::Error),
    #[error("{0}: the path of a project must be UTF-8, as Python's module names are")]
    NotUnicode(PathBuf),
    #[error("{file}: {problem}")]
    Settings { file: PathBuf, problem: String },
    #[error(
        "{folder}: too many files to look through for actions; name the modules in ziet.toml: modules = [\"actions\"]"
    )]
    TooManyFiles { folder: PathBuf },
}

/// `ziet.toml`, or the table `[tool.ziet]` of `pyproject.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    name: Option<String>,
    modules: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct PyProject {
    project: Option<PyProjectTable>,
    tool: Option<PyProjectTools>,
}

#[derive(Debug, Deserialize)]
struct PyProjectTable {
    name: Option<String>,
}

#[derive(Debug, Deserialize)]
struct PyProjectTools {
    ziet: Option<Settings>,
}

impl Project {
    /// The project that `folder` belongs to: the nearest folder, from it upwards, that has a configuration; else
    /// `folder` itself.
    pub fn find(folder: &Path) -> Result<Self, ProjectError> {
        for candidate in folder.ancestors() {
            if let Some((settings, name)) = read_settings(candidate)? {
                return Self::at(candidate, settings, name);
            }
        }
        Self::at(folder, Settings::default(), None)
    }

    fn at(root: &Path, settings: Settings, name: Option<String>) -> Result<Self, ProjectError> {
        let folder_name = || {
            root.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let id = settings
            .name
            .or(name)
            .or_else(folder_name)
            .unwrap_or_else(|| "project".to_owned());
        if root.to_str().is_none() {
            return Err(ProjectError::NotUnicode(root.to_owned()));
        }
        let src = root.join("src");
        let paths: Vec<PathBuf> = if src.is_dir() {
            vec![src, root.to_owned()]
        } else {
            vec![root.to_owned()]
        };
        let modules = match settings.modules {
            Some(modules) => modules,
            None => scan::modules(&paths)?,
        };
        Ok(Self {
            id: ProjectId::new(id),
            root: root.to_owned(),
            paths,
            modules,
        })
    }
}

/// The nearest folder, from `folder` upwards, that has a configuration.
pub fn configured_root(folder: &Path) -> Result<Option<PathBuf>, ProjectError> {
    for candidate in folder.ancestors() {
        if read_settings(candidate)?.is_some() {
            return Ok(Some(candidate.to_owned()));
        }
    }
    Ok(None)
}

/// The settings of a folder that has some, and the name that its `pyproject.toml` gives it.
fn read_settings(folder: &Path) -> Result<Option<(Settings, Option<String>)>, ProjectError> {
    let own = read_toml::<Settings>(&folder.join("ziet.toml"))?;
    let python = read_toml::<PyProject>(&folder.join("pyproject.toml"))?;
    let (name, table) = match python {
        Some(python) => (
            python.project.and_then(|project| project.name),
            python.tool.and_then(|tools| tools.ziet),
        ),
        None => (None, None),
    };
    Ok(own.or(table).map(|settings| (settings, name)))
}

/// None when there is no such file.
fn read_toml<T: for<'de> Deserialize<'de>>(file: &Path) -> Result<Option<T>, ProjectError> {
    let text = match fs_err::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    toml::from_str(&text)
        .map(Some)
        .map_err(|error| ProjectError::Settings {
            file: file.to_owned(),
            problem: error.to_string().trim_end().to_owned(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(root: &Path, files: &[(&str, &str)]) {
        for (name, text) in files {
            let file = root.join(name);
            fs_err::create_dir_all(file.parent().unwrap()).unwrap();
            fs_err::write(file, text).unwrap();
        }
    }

    #[test]
    fn is_the_nearest_folder_with_a_configuration() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("ziet.toml", "name = \"shop\"\nmodules = [\"a\"]"),
                ("deep/er/x.py", ""),
            ],
        );
        let project = Project::find(&root.path().join("deep/er")).unwrap();
        assert_eq!(
            (project.id.as_str(), project.root.as_path()),
            ("shop", root.path())
        );
        assert_eq!(project.modules, ["a"]);
    }

    #[test]
    fn takes_its_name_from_pyproject_and_else_from_the_folder() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[(
                "pyproject.toml",
                "[project]\nname = \"billing\"\n[tool.ziet]\nmodules = []",
            )],
        );
        assert_eq!(Project::find(root.path()).unwrap().id.as_str(), "billing");
        write(
            root.path(),
            &[
                ("plain/actions.py", ""),
                ("pyproject.toml", "[project]\nname = \"billing\""),
            ],
        );
        assert_eq!(
            Project::find(&root.path().join("plain"))
                .unwrap()
                .id
                .as_str(),
            "plain"
        );
    }

    #[test]
    fn an_unknown_setting_is_refused_with_file_and_line() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[("ziet.toml", "name = \"x\"\nmodule = [\"a\"]")],
        );
        let error = Project::find(root.path()).unwrap_err().to_string();
        assert!(
            error.contains("ziet.toml") && error.contains("line 2") && error.contains("`module`"),
            "{error}"
        );
    }

    #[test]
    fn finds_the_modules_that_import_ziet() {
        let root = tempfile::tempdir().unwrap();
        let uses = "from ziet import Action\n";
        write(
            root.path(),
            &[
                ("actions.py", uses),
                ("pay/stripe.py", "import os, ziet.memory as m\n"),
                (
                    "pay/__init__.py",
                    "def f():\n    from ziet.integrations import stripe\n",
                ),
                ("plain.py", "import zietlike\nx = 'import ziet'\n"),
                ("tests/test_a.py", uses),
                ("test_b.py", uses),
                ("conftest.py", uses),
                (".hidden/a.py", uses),
                ("env/pyvenv.cfg", ""),
                ("env/lib/a.py", uses),
                ("other/ziet.toml", ""),
                ("other/a.py", uses),
                ("not-a-module/a.py", uses),
            ],
        );
        assert_eq!(
            Project::find(root.path()).unwrap().modules,
            ["actions", "pay", "pay.stripe"]
        );
    }

    #[test]
    fn names_modules_below_src_relative_to_it() {
        let root = tempfile::tempdir().unwrap();
        write(
            root.path(),
            &[
                ("src/shop/actions.py", "import ziet\n"),
                ("jobs.py", "import ziet\n"),
            ],
        );
        let project = Project::find(root.path()).unwrap();
        assert_eq!(project.modules, ["jobs", "shop.actions"]);
        assert_eq!(
            project.paths,
            [root.path().join("src"), root.path().to_owned()]
        );
    }
}
