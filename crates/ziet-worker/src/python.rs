//! Which Python executes a project.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

/// What to do where the Python package of this program is missing. Whatever else is called so is not it.
pub const SDK_COMES_FROM: &str =
    "`make build` in the sources of ziet installs the program and its package";

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

/// Where the package is that [`Python::sdk`] looks for.
const FINDS_SDK: &str = "\
import os, ziet
print(os.path.dirname(os.path.dirname(os.path.abspath(ziet.__file__))))
";

/// How long an interpreter may take to say where that is.
const SDK_TIME: Duration = Duration::from_secs(30);

impl Python {
    /// The folder from which it imports the package `ziet`, for other interpreters to import it from there, too.
    ///
    /// # Errors
    /// When it has none, with what it said.
    pub fn sdk(&self) -> Result<PathBuf, String> {
        let said = self.answer(FINDS_SDK, Path::new(""), SDK_TIME)?;
        Ok(PathBuf::from(said.trim_end_matches('\n')))
    }

    /// What the interpreter writes when it executes `code` with one argument.
    ///
    /// # Errors
    /// When it does not start, does not end within `limit`, or fails: with what it wrote to standard error.
    pub fn answer(&self, code: &str, argument: &Path, limit: Duration) -> Result<String, String> {
        let mut child = Command::new(&self.path)
            .args(["-c", code])
            .arg(argument)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("it does not start: {error}"))?;
        let pipes = child.stdout.take().zip(child.stderr.take());
        let (send, answer) = channel();
        std::thread::spawn(move || {
            let texts = pipes.map(|(out, err)| (read(out), read(err)));
            drop(send.send(texts));
        });
        let texts = answer.recv_timeout(limit);
        if texts.is_err() {
            // It may have ended by itself this moment.
            let _ = child.kill();
        }
        let status = child.wait().map_err(|error| error.to_string())?;
        match texts {
            Ok(Some((out, _))) if status.success() => Ok(out),
            Ok(Some((_, err))) => Err(format!("{status}: {}", err.trim_end())),
            Ok(None) | Err(_) => Err(format!("it does not answer within {} s", limit.as_secs())),
        }
    }
}

fn read(mut pipe: impl Read) -> String {
    let mut bytes = Vec::new();
    // What could be read is what there is to tell.
    let _ = pipe.read_to_end(&mut bytes);
    String::from_utf8_lossy(&bytes).into_owned()
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
    fn an_interpreter_that_hangs_or_fails_is_given_up() {
        let shell = Python {
            path: PathBuf::from("/bin/sh"),
            found: Found::Setting,
        };
        let answer =
            |code, seconds| shell.answer(code, Path::new("x"), Duration::from_secs(seconds));
        assert_eq!(answer("echo $0", 60), Ok("x\n".to_owned()));
        assert_eq!(
            answer("echo no >&2; exit 3", 60),
            Err("exit status: 3: no".to_owned())
        );
        assert_eq!(
            answer("exec sleep 60", 1),
            Err("it does not answer within 1 s".to_owned())
        );
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
