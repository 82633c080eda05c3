//! Which Python executes a project.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// An interpreter and how it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    pub path: PathBuf,
    pub found: Found,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The settings name it.
    Setting,
    /// In the environment that the program itself is installed in.
    BesideProgram,
    /// In the active environment, `VIRTUAL_ENV`.
    ActiveEnvironment,
    /// `python3` on the path.
    OnPath,
}

/// Looks beside `program`, then in `virtual_env`, then for `python3` on `path`.
pub fn find(program: &Path, virtual_env: Option<&OsStr>, path: Option<&OsStr>) -> Option<Python> {
    let beside = program
        .parent()
        .and_then(|folder| in_folder(folder, Found::BesideProgram));
    let active = || {
        in_folder(
            &Path::new(virtual_env?).join("bin"),
            Found::ActiveEnvironment,
        )
    };
    let on_path = || {
        on_path("python3", path).map(|path| Python {
            path,
            found: Found::OnPath,
        })
    };
    beside.or_else(active).or_else(on_path)
}

/// The program of this name in the first folder of `path` that has one.
pub fn on_path(name: &str, path: Option<&OsStr>) -> Option<PathBuf> {
    std::env::split_paths(path?)
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

fn in_folder(folder: &Path, found: Found) -> Option<Python> {
    let path = folder.join("python3");
    path.is_file().then_some(Python { path, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python_in(folder: &Path) -> PathBuf {
        fs_err::create_dir_all(folder).unwrap();
        let path = folder.join("python3");
        fs_err::write(&path, "").unwrap();
        path
    }

    #[test]
    fn the_one_beside_the_program_goes_first_and_the_path_last() {
        let root = tempfile::tempdir().unwrap();
        let program = root.path().join("env/bin/ziet");
        let active = root.path().join("active");
        let on_path = python_in(&root.path().join("usr"));
        let path =
            std::env::join_paths([root.path().join("none"), root.path().join("usr")]).unwrap();
        let find = |active: Option<&Path>| {
            find(&program, active.map(Path::as_os_str), Some(&path))
                .map(|python| (python.path, python.found))
        };

        assert_eq!(find(None), Some((on_path.clone(), Found::OnPath)));
        assert_eq!(find(Some(&active)), Some((on_path, Found::OnPath)));
        let in_active = python_in(&active.join("bin"));
        assert_eq!(
            find(Some(&active)),
            Some((in_active, Found::ActiveEnvironment))
        );
        let beside = python_in(&root.path().join("env/bin"));
        assert_eq!(find(Some(&active)), Some((beside, Found::BesideProgram)));
    }
}
