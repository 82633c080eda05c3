//! Finds the modules of a project that import ziet, without running anything, and what keeps others from being one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::project::ProjectError;

/// Entries after which a folder is taken for something else than a project, such as a home folder.
const MOST_ENTRIES: usize = 50_000;

/// Dotted names, sorted. A file below several of `paths` is named from the first one.
pub(crate) fn modules(paths: &[PathBuf]) -> Result<Vec<String>, ProjectError> {
    let mut modules = BTreeSet::new();
    look_through(paths, |path, file| {
        if let Some(name) = module_name(path, file)
            && imports_ziet(file)
        {
            modules.insert(name);
        }
    })?;
    Ok(modules.into_iter().collect())
}

/// The files below `paths` that import ziet but that Python cannot import by name, such as `my-actions.py`. None where
/// there are too many to look through.
pub fn unimportable(paths: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = BTreeSet::new();
    let _ = look_through(paths, |path, file| {
        let is_python = file.extension().is_some_and(|extension| extension == "py");
        if is_python && module_name(path, file).is_none() && imports_ziet(file) {
            files.insert(file.to_owned());
        }
    });
    files.into_iter().collect()
}

/// The files right in `folder` that import ziet.
pub fn uses_in(folder: &Path) -> Vec<PathBuf> {
    let files = WalkDir::new(folder)
        .min_depth(1)
        .max_depth(1)
        .sort_by_file_name();
    files
        .into_iter()
        .flatten()
        .filter(|file| !is_skipped(file))
        .map(DirEntry::into_path)
        .filter(|file| file.extension().is_some_and(|extension| extension == "py"))
        .filter(|file| imports_ziet(file))
        .collect()
}

/// Calls `seen` for each file with that of `paths` from which it is named.
fn look_through(paths: &[PathBuf], mut seen: impl FnMut(&Path, &Path)) -> Result<(), ProjectError> {
    for (index, path) in paths.iter().enumerate() {
        let below_earlier =
            |entry: &DirEntry| paths[..index].iter().any(|earlier| earlier == entry.path());
        let entries = WalkDir::new(path).into_iter();
        let wanted = entries.filter_entry(|entry| {
            entry.depth() == 0 || !is_skipped(entry) && !below_earlier(entry)
        });
        for (count, entry) in wanted.enumerate() {
            if count > MOST_ENTRIES {
                return Err(ProjectError::TooManyFiles {
                    folder: path.clone(),
                });
            }
            // What cannot be read cannot be imported either, and need not be part of the project.
            if let Ok(entry) = entry {
                seen(path, entry.path());
            }
        }
    }
    Ok(())
}

fn is_skipped(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy();
    if entry.file_type().is_dir() {
        return is_of_tools(entry.path())
            || matches!(&*name, "tests" | "test" | "build" | "dist")
            // A project within the project is one of its own.
            || entry.path().join("ziet.toml").exists();
    }
    name.starts_with('.')
        || name.starts_with("test_")
        || name.ends_with("_test.py")
        || name == "conftest.py"
}

/// `folder` and everything below it but what tools keep there.
pub fn below(folder: &Path) -> impl Iterator<Item = DirEntry> {
    let is_wanted = |entry: &DirEntry| {
        entry.depth() == 0 || !entry.file_type().is_dir() || !is_of_tools(entry.path())
    };
    let entries = WalkDir::new(folder).into_iter();
    entries.filter_entry(is_wanted).flatten()
}

/// Whether a folder is one in which tools keep something: hidden, caches, packages, environments.
pub fn is_of_tools(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with('.')
        || matches!(&*name, "node_modules" | "__pycache__" | "site-packages")
        || folder.join("pyvenv.cfg").exists()
        || folder.join("conda-meta").exists()
}

/// `a/b.py` is `a.b` and `a/__init__.py` is `a`; None for what Python could not import by name.
fn module_name(base: &Path, file: &Path) -> Option<String> {
    let stem = file.strip_prefix(base).ok()?;
    if stem.extension()? != "py" {
        return None;
    }
    let stem = stem.with_extension("");
    let mut parts = stem
        .iter()
        .map(|part| part.to_str())
        .collect::<Option<Vec<_>>>()?;
    if parts.last() == Some(&"__init__") {
        parts.pop();
    }
    let named = !parts.is_empty() && parts.iter().all(|part| is_identifier(part));
    named.then(|| parts.join("."))
}

/// Whether Python can import something by this dotted name.
pub fn is_module(name: &str) -> bool {
    name.split('.').all(is_identifier)
}

fn is_identifier(part: &str) -> bool {
    let begins = |first: char| first.is_alphabetic() || first == '_';
    part.starts_with(begins)
        && part
            .chars()
            .all(|char| begins(char) || char.is_alphanumeric())
}

fn imports_ziet(file: &Path) -> bool {
    // A pipe would be waited for.
    if !fs_err::metadata(file).is_ok_and(|about| about.is_file()) {
        return false;
    }
    let Ok(source) = fs_err::read(file) else {
        return false;
    };
    source.split(|byte| *byte == b'\n').any(|line| {
        let line = String::from_utf8_lossy(line.trim_ascii());
        if let Some(module) = line.strip_prefix("from ") {
            return is_ziet(module);
        }
        line.strip_prefix("import ")
            .is_some_and(|modules| modules.split(',').any(is_ziet))
    })
}

/// Whether `ziet`, `ziet.memory` or `ziet as z` stands there.
fn is_ziet(module: &str) -> bool {
    let name = module
        .trim_start()
        .split(|char: char| char.is_whitespace() || char == '.')
        .next();
    name == Some("ziet")
}
