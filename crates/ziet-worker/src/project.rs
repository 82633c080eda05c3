//! A project: the folder, and the modules in which its actions are. What its configuration says is for others to read.

use std::path::{Path, PathBuf};

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
    #[error("{0}: the path of a project must be UTF-8, as Python's module names are")]
    NotUnicode(PathBuf),
    #[error(
        "{folder}: too many files to look through for actions; name the modules in ziet.toml: modules = [\"actions\"]"
    )]
    TooManyFiles { folder: PathBuf },
}

impl Project {
    /// The project in the folder `root`, with these modules, else with those in it that import ziet.
    pub fn new(id: &str, root: &Path, modules: Option<Vec<String>>) -> Result<Self, ProjectError> {
        if root.to_str().is_none() {
            return Err(ProjectError::NotUnicode(root.to_owned()));
        }
        let src = root.join("src");
        let paths: Vec<PathBuf> = if src.is_dir() {
            vec![src, root.to_owned()]
        } else {
            vec![root.to_owned()]
        };
        let modules = modules.map_or_else(|| scan::modules(&paths), Ok)?;
        Ok(Self {
            id: ProjectId::new(id),
            root: root.to_owned(),
            paths,
            modules,
        })
    }
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
            Project::new("p", root.path(), None).unwrap().modules,
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
        let project = Project::new("p", root.path(), None).unwrap();
        assert_eq!(project.modules, ["jobs", "shop.actions"]);
        assert_eq!(
            project.paths,
            [root.path().join("src"), root.path().to_owned()]
        );
    }
}
