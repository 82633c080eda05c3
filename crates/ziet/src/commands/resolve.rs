//! Finds the action that was named, and says what to do when there is none.

use std::path::{Path, PathBuf};

use ziet_core::ActionId;
use ziet_core::action::{ActionSpec, Unresolved};
use ziet_worker::scan;

use super::Local;
use crate::error::CliError;

pub(super) fn resolve<'a>(local: &'a Local<'_>, name: &str) -> Result<&'a ActionSpec, CliError> {
    local.require_actions()?;
    local.catalogue.resolve(name).map_err(|unresolved| {
        let nearest = match unresolved {
            Unresolved::Unknown { nearest } => nearest,
            Unresolved::Ambiguous { candidates } => {
                let message = format!("`{name}` fits several actions: {}", list(&candidates));
                return CliError::usage(message).hint("give the id of one of them");
            }
        };
        let mut hints = Vec::new();
        if !nearest.is_empty() {
            hints.push(format!("the nearest names: {}", list(&nearest)));
        }
        let mut problems = local.catalogue.problems.iter();
        if let Some(problem) = problems.next() {
            let whole_modules =
                problem.action.is_none() || problems.any(|each| each.action.is_none());
            let why = if whole_modules {
                "in a module that does not import"
            } else {
                "one that is defined wrongly"
            };
            hints.push(format!("it may be {why}, see above"));
        }
        hints.extend(local.unimportable());
        if hints.is_empty() {
            hints.push("`ziet actions` lists those there are".to_owned());
        }
        CliError::usage(format!("no action `{name}`")).hint(hints.join("; "))
    })
}

impl Local<'_> {
    /// Nothing to run at all: says where was looked.
    pub(super) fn require_actions(&self) -> Result<(), CliError> {
        if self.catalogue.actions().len() > 0 || !self.catalogue.problems.is_empty() {
            return Ok(());
        }
        let root = &self.project.root;
        let hint = self.unimportable().or_else(|| used_above(root)).unwrap_or_else(|| {
            "put `from ziet import Action` and `@Action(description=\"…\")` above a function in a .py file there, or \
             have it all made by `ziet init`; the project is the nearest folder with a `ziet.toml`, else this one"
                .to_owned()
        });
        Err(CliError::usage(format!("no actions in {}", root.display())).hint(hint))
    }

    /// What to do about files that cannot be modules because of how they, or their folders, are called.
    fn unimportable(&self) -> Option<String> {
        let files = scan::unimportable(&self.project.paths);
        let first = files.first()?;
        let name = |file: &Path| {
            let file = file.strip_prefix(&self.project.root).unwrap_or(file);
            file.display().to_string()
        };
        let names: Vec<String> = files.iter().take(3).map(|file| name(file)).collect();
        let and_more = if files.len() > 3 { " and more" } else { "" };
        Some(format!(
            "Python cannot import {}{and_more} by name: files and folders need names of letters, digits and `_`, such as \
             {}",
            names.join(", "),
            importable(&name(first))
        ))
    }
}

/// `my-actions.py` as `my_actions.py`
fn importable(file: &str) -> String {
    let stem = file.strip_suffix(".py").unwrap_or(file);
    let named = |part: &str| {
        let part = part.replace(|char: char| !char.is_alphanumeric(), "_");
        let needs_letter = part.starts_with(|char: char| char.is_numeric());
        format!("{}{part}", if needs_letter { "_" } else { "" })
    };
    let parts: Vec<String> = stem.split('/').map(named).collect();
    format!("{}.py", parts.join("/"))
}

/// Folders above in which a project is looked for; further up are those of other people.
const FOLDERS_ABOVE: usize = 3;

/// A project without a configuration is found only from its own folder.
fn used_above(root: &Path) -> Option<String> {
    let (folder, files): (&Path, Vec<PathBuf>) = root
        .ancestors()
        .skip(1)
        .take(FOLDERS_ABOVE)
        .take_while(|folder| folder.components().count() > 2)
        .map(|folder| (folder, scan::uses_in(folder)))
        .find(|(_, files)| !files.is_empty())?;
    let file = files.first()?.file_name()?.to_string_lossy();
    let folder = folder.display();
    Some(format!(
        "{file} in {folder} uses ziet: run this in that folder, or put an empty ziet.toml into it, and it is found from \
         the folders below"
    ))
}

fn list(ids: &[ActionId]) -> String {
    let ids: Vec<String> = ids.iter().map(|id| format!("`{id}`")).collect();
    ids.join(", ")
}
