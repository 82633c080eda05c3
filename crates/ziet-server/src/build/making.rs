//! Making one environment: uv, called step by step, shut in.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use walkdir::WalkDir;
use ziet_engine::Clock;
use ziet_worker::{Confined, Ending, Outcome, ending_text};

use super::environment::{Fixed, settle};
use super::interpreter::Base;
use super::output::Output;
use super::wanted::{Source, Wanted};
use super::{BuildError, Builder, Place, SDK_NEEDS, VARIABLES};

/// How long all of it may take.
const TIME: Duration = Duration::from_secs(15 * 60);

/// How large a file of a package may be: some bring libraries of several GB.
const FILE_BYTES: u64 = 16 << 30;

/// Variables that name files which uv reads.
const FILES: [&str; 3] = ["SSL_CERT_FILE", "SSL_CERT_DIR", "UV_FIND_LINKS"];

/// An environment that is being made.
pub(super) struct Making<'a> {
    builder: &'a Builder,
    uv: &'a Path,
    wanted: &'a Wanted,
    base: &'a Base,
    place: &'a Place,
    clock: Clock,
}

impl<'a> Making<'a> {
    pub(super) fn new(
        builder: &'a Builder,
        uv: &'a Path,
        wanted: &'a Wanted,
        base: &'a Base,
        place: &'a Place,
    ) -> Self {
        Self {
            builder,
            uv,
            wanted,
            base,
            place,
            clock: Clock::default(),
        }
    }

    pub(super) fn all(&self, code: &Path, log: &mut dyn FnMut(&str)) -> Result<(), BuildError> {
        let output = &mut Output::new(log);
        let env = &self.place.env;
        let own_copy = self.wanted.local.then(|| self.place.folder.join("source"));
        if let Some(source) = &own_copy {
            // Building from a folder writes there, and the code of a deployment never changes.
            copy(code, source)?;
        }
        let source = own_copy.as_deref().unwrap_or(code);
        let base = self.base.path.as_os_str();
        let venv = ["venv", "--no-project", "--python"].map(OsStr::new);
        let venv = venv.into_iter().chain([base, env.as_os_str()]);
        self.uv("making an environment", venv, source, output)?;
        let fixed = Fixed::of(env)?;
        match self.wanted.source {
            Source::Lock => {
                let sync = "sync --frozen --no-dev --no-editable --no-install-project --no-install-package ziet";
                self.uv("uv sync", sync.split(' ').map(OsStr::new), source, output)?;
            }
            Source::Requirements => self.install_from("requirements.txt", source, output)?,
            Source::Pyproject => self.install_from("pyproject.toml", source, output)?,
            Source::Nothing => {}
        }
        let needs = SDK_NEEDS.map(OsStr::new);
        self.install("installing what the SDK needs", &needs, source, output)?;
        fixed.check(env)?;
        settle(env)?;
        if let Some(source) = &own_copy {
            fs_err::remove_dir_all(source)?;
        }
        Ok(())
    }

    /// The SDK that executes is the server's, so none is taken from an index.
    fn install_from(
        &self,
        file: &str,
        source: &Path,
        output: &mut Output<'_>,
    ) -> Result<(), BuildError> {
        let excludes = self.place.env.join(".ziet-excludes");
        fs_err::write(&excludes, "ziet\n")?;
        let options = ["-r", file, "--excludes"].map(OsStr::new);
        let options: Vec<&OsStr> = options.into_iter().chain([excludes.as_os_str()]).collect();
        self.install("uv pip install", &options, source, output)?;
        Ok(fs_err::remove_file(&excludes)?)
    }

    fn install(
        &self,
        what: &'static str,
        options: &[&OsStr],
        source: &Path,
        output: &mut Output<'_>,
    ) -> Result<(), BuildError> {
        let python = self.place.env.join("bin/python");
        let start = ["pip", "install", "--python"].map(OsStr::new);
        let start = start.into_iter().chain([python.as_os_str()]);
        self.uv(what, start.chain(options.iter().copied()), source, output)
    }

    fn uv<'b>(
        &self,
        what: &'static str,
        arguments: impl Iterator<Item = &'b OsStr>,
        source: &'b Path,
        output: &mut Output<'_>,
    ) -> Result<(), BuildError> {
        let time = TIME.saturating_sub(self.clock.elapsed());
        if time.is_zero() {
            return Err(BuildError::TimedOut);
        }
        let common = ["--no-progress", "--color", "never", "--directory"].map(OsStr::new);
        let common = common.into_iter().chain([source.as_os_str()]);
        let given = self.builder.passed_on(VARIABLES);
        let files = given
            .iter()
            .filter(|(name, _)| FILES.iter().any(|file| name == file));
        let files = files.map(|(_, path)| PathBuf::from(path));
        let mut writable = vec![self.place.env.clone(), self.place.cache.clone()];
        writable.extend(self.wanted.local.then(|| source.to_owned()));
        let confined = Confined {
            arguments: common.chain(arguments).map(OsStr::to_owned).collect(),
            readable: files.filter(|path| path.is_absolute()).collect(),
            writable,
            environment: given.into_iter().chain(self.variables()).collect(),
            time,
            ..confined(self.builder, self.uv, &self.base.path, source)
        };
        output.begin();
        let outcome = confined.run(&mut |bytes| output.take(bytes))?;
        output.end();
        match outcome {
            Outcome::Ended(Ending::Exit(0)) => Ok(()),
            Outcome::Ended(ending) => Err(BuildError::Failed {
                what,
                ending: ending_text(ending),
                said: output.error(),
            }),
            Outcome::TimedOut => Err(BuildError::TimedOut),
        }
    }

    fn variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        let paths = [
            ("UV_CACHE_DIR", &self.place.cache),
            ("UV_PROJECT_ENVIRONMENT", &self.place.env),
            ("UV_PYTHON", &self.base.path),
        ];
        let others = [
            // What one build writes must not become part of what another one has made.
            ("UV_LINK_MODE", "copy"),
            // Whoever executes it cannot write what Python has compiled.
            ("UV_COMPILE_BYTECODE", "1"),
            ("UV_PYTHON_DOWNLOADS", "never"),
            ("NO_COLOR", "1"),
        ];
        let paths = paths.map(|(name, path)| (name.into(), path.into()));
        let others = others.map(|(name, value)| (name.into(), value.into()));
        paths.into_iter().chain(others)
    }
}

/// A call of uv that is about a project, with nothing else yet.
pub(super) fn confined(builder: &Builder, uv: &Path, python: &Path, project: &Path) -> Confined {
    Confined {
        program: uv.to_owned(),
        arguments: Vec::new(),
        environment: Vec::new(),
        project: project.to_owned(),
        python: python.to_owned(),
        readable: Vec::new(),
        writable: Vec::new(),
        file_bytes: FILE_BYTES,
        time: TIME,
        sandbox: builder.sandbox,
        without: builder.without.clone(),
    }
}

/// Copies the files of a folder into one that does not exist. There are no links among those of a deployment.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let inside = entry.path().strip_prefix(from).unwrap_or(entry.path());
        let place = to.join(inside);
        if entry.file_type().is_dir() {
            fs_err::create_dir(&place)?;
        } else if entry.file_type().is_file() {
            fs_err::copy(entry.path(), &place)?;
        }
    }
    Ok(())
}
