//! Builds the Python environments of deployments with uv, each once for all deployments of a project that ask for the same.
//!
//! Building executes what packages bring for it, so it is shut in as actions are. What it has made is looked at before it
//! is used, and is out of its reach from then on. It knows nothing of deployments but the folder of their code.

mod environment;
mod error;
mod output;
mod wanted;

use std::collections::HashSet;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use walkdir::WalkDir;
use ziet_engine::Clock;
use ziet_worker::python::{self, Found};
use ziet_worker::{Ability, Confined, Ending, Outcome, Python, ending_text};

use self::environment::{Fixed, settle};
pub use self::error::BuildError;
use self::output::Output;
use self::wanted::{Source, Wanted};

/// How long all of a build may take.
const BUILD_TIME: Duration = Duration::from_secs(15 * 60);

/// How long an interpreter may take to say what it is, and uv to find one.
const FIND_TIME: Duration = Duration::from_secs(60);

/// How large a file of a package may be: some bring libraries of several GB.
const FILE_BYTES: u64 = 16 << 30;

/// What the SDK imports, as in its own `pyproject.toml`.
const SDK_NEEDS: [&str; 2] = ["docstring-parser>=0.16,<1", "msgspec>=0.19,<1"];

/// Of the server's environment, what uv gets: where packages come from, and how to get there. Builds see it.
const VARIABLES: &[&str] = &[
    "PATH",
    "LANG",
    "TZ",
    "ALL_PROXY",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "SSL_CERT_DIR",
    "SSL_CERT_FILE",
    "UV_DEFAULT_INDEX",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_HTTP_TIMEOUT",
    "UV_INDEX",
    "UV_INDEX_STRATEGY",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_NATIVE_TLS",
    "UV_NO_INDEX",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
];

/// What uv needs besides `PATH` to find the interpreters of this machine. No build sees it.
const FINDING: &[&str] = &["PATH", "HOME", "XDG_DATA_HOME", "UV_PYTHON_INSTALL_DIR"];

const READS_ITSELF: &str = "\
import sys
print('.'.join(map(str, sys.version_info[:3])))
print(getattr(sys, '_base_executable', None) or sys.executable)
";

/// Builds environments.
#[derive(Clone, Debug)]
pub struct Builder {
    /// The folder in which they are kept.
    pub environments: PathBuf,
    /// The server's own interpreter. Projects that need nothing else are executed by it.
    pub python: PathBuf,
    /// Where uv is, if there is one.
    pub uv: Option<PathBuf>,
    /// The variables of the server.
    pub variables: Vec<(OsString, OsString)>,
    /// Whether what is executed meanwhile is shut in.
    pub sandbox: bool,
    pub without: Vec<Ability>,
}

/// An environment that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Built {
    /// Its interpreter.
    pub python: PathBuf,
    /// The folder to tell [`Builder::prune`] of while it is used; None of the server's own.
    pub folder: Option<PathBuf>,
    /// Whether it was there before.
    pub cached: bool,
}

/// An interpreter without an environment of its own.
struct Base {
    path: PathBuf,
    version: String,
}

/// A build that goes on.
struct Build<'a> {
    builder: &'a Builder,
    uv: &'a Path,
    wanted: &'a Wanted,
    base: &'a Base,
    /// The project's folder, which is one of its own where building may write there.
    source: PathBuf,
    env: PathBuf,
    cache: PathBuf,
    clock: Clock,
    output: Output<'a>,
}

impl Builder {
    /// Where uv is: beside the program or the interpreter, else on the path.
    pub fn find_uv(
        program: &Path,
        python: &Path,
        path: Option<&std::ffi::OsStr>,
    ) -> Option<PathBuf> {
        let beside = [program, python].into_iter().filter_map(Path::parent);
        let mut beside = beside.map(|folder| folder.join("uv"));
        beside
            .find(|uv| uv.is_file())
            .or_else(|| python::on_path("uv", path))
    }

    /// The environment for the code in a folder, built if there is none. Blocks, for minutes if it must. Of two builds of the
    /// same, one waits for the other. `log` gets what uv says, line by line.
    ///
    /// # Errors
    /// When the project asks for what cannot be had, or building fails; with what uv said.
    pub fn build(
        &self,
        project: &str,
        code: &Path,
        log: &mut dyn FnMut(&str),
    ) -> Result<Built, BuildError> {
        let wanted = Wanted::of(code)?;
        let own = self.describe(&self.python)?;
        let fits = wanted.allows(&own.version);
        if wanted.source == Source::Nothing && fits == Some(true) {
            log(&format!(
                "no dependencies: Python {} of the server executes it",
                own.version
            ));
            return Ok(Built {
                python: self.python.clone(),
                folder: None,
                cached: true,
            });
        }
        let uv = self.uv.as_deref().ok_or(BuildError::NoUv)?;
        let base = if fits == Some(true) {
            own
        } else {
            self.find(uv, &wanted)?
        };
        fs_err::create_dir_all(&self.environments)?;
        let environments = fs_err::canonicalize(&self.environments)?;
        let key = self.key(project, &wanted, &base);
        let folder = environments.join(&key);
        let lock = fs_err::File::create(environments.join(format!("{key}.lock")))?;
        flock(lock.file(), FlockOperation::LockExclusive).map_err(io::Error::from)?;
        let (env, ready) = (folder.join("env"), folder.join("ready"));
        let built = |cached| Built {
            python: env.join("bin/python3"),
            folder: Some(folder.clone()),
            cached,
        };
        if ready.exists() {
            // Whoever removes old ones sees that it was asked for now.
            fs_err::write(&ready, &key)?;
            log(&format!(
                "the environment is there already: Python {}, {}",
                base.version, wanted.source
            ));
            return Ok(built(true));
        }
        log(&format!(
            "building the environment: Python {}, {}",
            base.version, wanted.source
        ));
        if folder.exists() {
            fs_err::remove_dir_all(&folder)?;
        }
        let cache = environments
            .join("cache")
            .join(hex(&Sha256::digest(project)));
        for made in [&env, &cache] {
            fs_err::create_dir_all(made)?;
        }
        let source = if wanted.local {
            folder.join("source")
        } else {
            code.to_owned()
        };
        let mut build = Build {
            builder: self,
            uv,
            wanted: &wanted,
            base: &base,
            source,
            env: env.clone(),
            cache,
            clock: Clock::default(),
            output: Output::new(log),
        };
        build.all(code)?;
        // It is there from here on, and not a moment before all of it is on the disk.
        fs_err::File::create(&ready)?.sync_all()?;
        log("the environment is ready");
        Ok(built(false))
    }

    /// Removes the environments that are not among the `used` ones and were asked for longer ago than that. Says how many.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn prune(&self, used: &HashSet<PathBuf>, unused_for: Duration) -> io::Result<usize> {
        let mut removed = 0;
        let Ok(environments) = fs_err::canonicalize(&self.environments) else {
            return Ok(0);
        };
        for entry in fs_err::read_dir(&environments)?.flatten() {
            let lock_file = entry.path();
            let folder = lock_file.with_extension("");
            if lock_file
                .extension()
                .is_none_or(|extension| extension != "lock")
                || used.contains(&folder)
            {
                continue;
            }
            let lock = fs_err::File::open(&lock_file)?;
            if flock(lock.file(), FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            let asked = fs_err::metadata(folder.join("ready")).and_then(|ready| ready.modified());
            let recent = asked.is_ok_and(|asked| {
                let since = ziet_worker::file_time().duration_since(asked);
                since.unwrap_or_default() < unused_for
            });
            if !recent && folder.exists() {
                fs_err::remove_dir_all(&folder)?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn describe(&self, path: &Path) -> Result<Base, BuildError> {
        let python = Python {
            path: path.to_owned(),
            found: Found::Setting,
        };
        let said = python.answer(READS_ITSELF, Path::new(""), FIND_TIME);
        let said = said.map_err(|why| BuildError::Python(format!("{}: {why}", path.display())))?;
        match said.lines().collect::<Vec<_>>()[..] {
            [version, base] => Ok(Base {
                path: base.into(),
                version: version.to_owned(),
            }),
            _ => Err(BuildError::Python(format!(
                "{}: it is no Python",
                path.display()
            ))),
        }
    }

    /// An interpreter of this machine that the project can be executed by. None is downloaded.
    fn find(&self, uv: &Path, wanted: &Wanted) -> Result<Base, BuildError> {
        let request = wanted.request();
        let mut said = Vec::new();
        // It gets no text of the project but versions, and reads none of its files.
        let options = [
            "python",
            "find",
            "--no-project",
            "--no-config",
            "--no-cache",
            "--no-python-downloads",
            "--system",
        ];
        let outcome = Confined {
            arguments: options
                .into_iter()
                .chain([request.as_str()])
                .map(OsString::from)
                .collect(),
            environment: self.passed_on(FINDING),
            sandbox: false,
            time: FIND_TIME,
            ..self.confined(uv, &self.python, Path::new("/"))
        }
        .run(&mut |bytes| said.extend_from_slice(bytes))?;
        let said = String::from_utf8_lossy(&said).into_owned();
        let found = said
            .lines()
            .map(Path::new)
            .rfind(|line| line.is_absolute() && line.is_file());
        match (outcome, found) {
            (Outcome::Ended(Ending::Exit(0)), Some(path)) => self.describe(path),
            _ => Err(BuildError::NoPython {
                wanted: wanted.place(),
                said: said.trim().to_owned(),
            }),
        }
    }

    /// What an environment is known by: all that decides what is in it.
    fn key(&self, project: &str, wanted: &Wanted, base: &Base) -> String {
        let mut hash = Sha256::new();
        let mut add = |part: &[u8]| {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        };
        // One project has no part in what another one executes.
        add(project.as_bytes());
        add(base.path.as_os_str().as_encoded_bytes());
        add(base.version.as_bytes());
        add(&wanted.content);
        SDK_NEEDS.iter().for_each(|need| add(need.as_bytes()));
        for (name, value) in self.passed_on(VARIABLES) {
            if name.to_string_lossy().starts_with("UV_") {
                add(name.as_encoded_bytes());
                add(value.as_encoded_bytes());
            }
        }
        hex(&hash.finalize())
    }

    fn passed_on(&self, names: &[&str]) -> Vec<(OsString, OsString)> {
        let wanted = |name: &OsString| {
            let name = name.to_string_lossy();
            // Proxies are known by small letters, too.
            names.contains(&&*name)
                || names.contains(&name.to_uppercase().as_str()) && name.ends_with("_proxy")
                // Of an index with a name, who may use it.
                || names.contains(&"UV_INDEX") && name.starts_with("UV_INDEX_")
        };
        let mut found: Vec<_> = self
            .variables
            .iter()
            .filter(|(name, _)| wanted(name))
            .cloned()
            .collect();
        found.sort();
        found
    }

    fn confined(&self, uv: &Path, python: &Path, project: &Path) -> Confined {
        Confined {
            program: uv.to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            project: project.to_owned(),
            python: python.to_owned(),
            readable: Vec::new(),
            writable: Vec::new(),
            file_bytes: FILE_BYTES,
            time: BUILD_TIME,
            sandbox: self.sandbox,
            without: self.without.clone(),
        }
    }
}

impl Build<'_> {
    fn all(&mut self, code: &Path) -> Result<(), BuildError> {
        if self.wanted.local {
            // Building from a folder writes there, and the code of a deployment never changes.
            copy(code, &self.source)?;
        }
        let env = self.env.clone();
        let python = env.join("bin/python");
        self.uv(
            "making an environment",
            &[
                "venv".as_ref(),
                "--no-project".as_ref(),
                "--python".as_ref(),
                self.base.path.as_os_str(),
                env.as_os_str(),
            ],
        )?;
        let fixed = Fixed::of(&env)?;
        let install = |more: [&str; 2]| -> Vec<OsString> {
            let start = ["pip", "install", "--python"]
                .map(OsString::from)
                .into_iter();
            start
                .chain([python.clone().into_os_string()])
                .chain(more.map(OsString::from))
                .collect()
        };
        match &self.wanted.source {
            Source::Lock => {
                let sync = [
                    "sync",
                    "--frozen",
                    "--no-dev",
                    "--no-editable",
                    "--no-install-project",
                    "--no-install-package",
                    "ziet",
                ];
                self.uv("uv sync", &sync)?;
            }
            Source::Requirements => {
                self.install_without_sdk(install(["-r", "requirements.txt"]))?
            }
            Source::Pyproject => self.install_without_sdk(install(["-r", "pyproject.toml"]))?,
            Source::Nothing => {}
        }
        self.uv("installing what the SDK needs", &install(SDK_NEEDS))?;
        fixed.check(&env)?;
        settle(&env)?;
        if self.wanted.local {
            fs_err::remove_dir_all(&self.source)?;
        }
        Ok(())
    }

    /// The SDK that executes is the server's, so none is taken from an index.
    fn install_without_sdk(&mut self, mut arguments: Vec<OsString>) -> Result<(), BuildError> {
        let excludes = self.env.join(".ziet-excludes");
        fs_err::write(&excludes, "ziet\n")?;
        arguments.extend(["--excludes".into(), excludes.clone().into_os_string()]);
        let done = self.uv("uv pip install", &arguments);
        fs_err::remove_file(&excludes)?;
        done
    }

    fn uv(
        &mut self,
        what: &'static str,
        arguments: &[impl AsRef<std::ffi::OsStr>],
    ) -> Result<(), BuildError> {
        let time = BUILD_TIME.saturating_sub(self.clock.elapsed());
        if time.is_zero() {
            return Err(BuildError::TimedOut);
        }
        let mut writable = vec![self.env.clone(), self.cache.clone()];
        if self.wanted.local {
            writable.push(self.source.clone());
        }
        let given = self.builder.passed_on(VARIABLES);
        let certificates = given.iter().filter(|(name, _)| {
            matches!(
                name.to_str(),
                Some("SSL_CERT_FILE" | "SSL_CERT_DIR" | "UV_FIND_LINKS")
            )
        });
        let readable = certificates
            .map(|(_, path)| PathBuf::from(path))
            .filter(|path| path.is_absolute());
        let common = ["--no-progress", "--color", "never", "--directory"]
            .map(OsString::from)
            .into_iter();
        let confined = Confined {
            arguments: common
                .chain([self.source.clone().into_os_string()])
                .chain(
                    arguments
                        .iter()
                        .map(|argument| argument.as_ref().to_owned()),
                )
                .collect(),
            readable: readable.collect(),
            writable,
            environment: given.into_iter().chain(self.variables()).collect(),
            time,
            ..self
                .builder
                .confined(self.uv, &self.base.path, &self.source)
        };
        self.output.begin();
        let outcome = confined.run(&mut |bytes| self.output.take(bytes))?;
        self.output.end();
        match outcome {
            Outcome::Ended(Ending::Exit(0)) => Ok(()),
            Outcome::Ended(ending) => Err(BuildError::Failed {
                what,
                ending: ending_text(ending),
                said: self.output.error(),
            }),
            Outcome::TimedOut => Err(BuildError::TimedOut),
        }
    }

    fn variables(&self) -> impl Iterator<Item = (OsString, OsString)> {
        let paths = [
            ("UV_CACHE_DIR", self.cache.as_path()),
            ("UV_PROJECT_ENVIRONMENT", &self.env),
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
        paths
            .into_iter()
            .chain(others.map(|(name, value)| (name.into(), value.into())))
    }
}

/// Copies the files of a folder into one that does not exist. There are no links among those of a deployment.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for entry in WalkDir::new(from) {
        let entry = entry?;
        let place = to.join(entry.path().strip_prefix(from).unwrap_or(entry.path()));
        if entry.file_type().is_dir() {
            fs_err::create_dir(&place)?;
        } else if entry.file_type().is_file() {
            fs_err::copy(entry.path(), &place)?;
        }
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    // Half of it is more than enough to tell environments apart, and keeps paths short.
    bytes
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sdk_needs_what_its_package_says() {
        let package: toml::Table = include_str!("../../../../pyproject.toml").parse().unwrap();
        let needs = package["project"]["dependencies"].as_array().unwrap();
        let needs: Vec<&str> = needs.iter().filter_map(toml::Value::as_str).collect();
        assert_eq!(needs, SDK_NEEDS);
    }
}
