//! Builds the Python environments of deployments with uv, each once for all deployments of a project that ask for the same.
//!
//! Building executes what packages bring for it, so it is shut in as actions are. What it has made is looked at before it
//! is used, and is out of its reach from then on. It knows nothing of deployments but the folder of their code.

mod environment;
mod error;
mod interpreter;
mod making;
mod output;
mod wanted;

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fs_err::File;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use ziet_worker::{Ability, python};

pub use self::error::BuildError;
use self::interpreter::Base;
use self::making::Making;
use self::wanted::{Source, Wanted};

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
    INDEX,
    "UV_INDEX_STRATEGY",
    "UV_INDEX_URL",
    "UV_INSECURE_HOST",
    "UV_NATIVE_TLS",
    "UV_OFFLINE",
    "UV_SYSTEM_CERTS",
];

/// It names indexes, and variables that begin so who may use them.
const INDEX: &str = "UV_INDEX";

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

/// Where an environment is, or is to be.
struct Place {
    folder: PathBuf,
    /// The environment itself: of all that is here, building can write to this alone.
    env: PathBuf,
    /// What is here from the moment at which the environment can be used.
    ready: PathBuf,
    /// What uv keeps for the project.
    cache: PathBuf,
    _lock: File,
}

impl Builder {
    /// Where uv is: beside the program or the interpreter, else on the path.
    pub fn find_uv(program: &Path, python: &Path, path: Option<&OsStr>) -> Option<PathBuf> {
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
        let own = Base::describe(&self.python)?;
        let fits = wanted.allows(&own.version) == Some(true);
        if wanted.source == Source::Nothing && fits {
            log(&format!(
                "no dependencies: executed by Python {} of the server",
                own.version
            ));
            return Ok(Built {
                python: self.python.clone(),
                folder: None,
                cached: true,
            });
        }
        let uv = self.uv.as_deref().ok_or(BuildError::NoUv)?;
        let base = if fits {
            own
        } else {
            Base::find(self, uv, &wanted)?
        };
        let place = self.place(project, &self.key(project, &wanted, &base))?;
        let cached = place.ready.exists();
        let what = format!("Python {}, {}", base.version, wanted.source);
        if cached {
            // Whoever removes old ones sees that it was asked for now.
            File::create(&place.ready)?.set_modified(ziet_worker::file_time())?;
            log(&format!("the environment is there already: {what}"));
        } else {
            log(&format!("building the environment: {what}"));
            place.clear()?;
            Making::new(self, uv, &wanted, &base, &place).all(code, log)?;
            // It is there from here on, and not a moment before all of it.
            File::create(&place.ready)?.sync_all()?;
            log("the environment is ready");
        }
        Ok(Built {
            python: place.env.join("bin/python3"),
            folder: Some(place.folder),
            cached,
        })
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
            let is_lock = lock_file
                .extension()
                .is_some_and(|extension| extension == "lock");
            if !is_lock || used.contains(&folder) || !folder.exists() {
                continue;
            }
            let lock = File::open(&lock_file)?;
            if flock(lock.file(), FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            let asked = fs_err::metadata(folder.join("ready")).and_then(|ready| ready.modified());
            let recent = asked.is_ok_and(|asked| {
                let since = ziet_worker::file_time().duration_since(asked);
                since.unwrap_or_default() < unused_for
            });
            if !recent {
                fs_err::remove_dir_all(&folder)?;
                removed += 1;
            }
        }
        Ok(removed)
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
        for need in SDK_NEEDS {
            add(need.as_bytes());
        }
        for (name, value) in self.passed_on(VARIABLES) {
            if name.to_string_lossy().starts_with("UV_") {
                add(name.as_encoded_bytes());
                add(value.as_encoded_bytes());
            }
        }
        short_hex(&hash.finalize())
    }

    /// Waits until nobody else is there.
    fn place(&self, project: &str, key: &str) -> io::Result<Place> {
        fs_err::create_dir_all(&self.environments)?;
        let environments = fs_err::canonicalize(&self.environments)?;
        let lock = File::create(environments.join(format!("{key}.lock")))?;
        flock(lock.file(), FlockOperation::LockExclusive)?;
        let folder = environments.join(key);
        Ok(Place {
            env: folder.join("env"),
            ready: folder.join("ready"),
            cache: environments
                .join("cache")
                .join(short_hex(&Sha256::digest(project))),
            folder,
            _lock: lock,
        })
    }

    /// Those of the server's variables that have one of these names.
    fn passed_on(&self, names: &[&str]) -> Vec<(OsString, OsString)> {
        let wanted = |name: &OsString| {
            let name = name.to_string_lossy();
            names.contains(&&*name)
                // Proxies are known by small letters, too.
                || name.ends_with("_proxy") && names.contains(&name.to_uppercase().as_str())
                || name.starts_with(INDEX) && names.contains(&INDEX)
        };
        let found = self.variables.iter().filter(|(name, _)| wanted(name));
        let mut found: Vec<_> = found.cloned().collect();
        found.sort();
        found
    }
}

impl Place {
    /// Makes it as if nothing had been built here: what is here was left by a build that was killed or has failed.
    fn clear(&self) -> io::Result<()> {
        if self.folder.exists() {
            fs_err::remove_dir_all(&self.folder)?;
        }
        fs_err::create_dir_all(&self.env)?;
        fs_err::create_dir_all(&self.cache)
    }
}

/// As much of a hash as tells environments apart, and keeps paths short.
fn short_hex(hash: &[u8]) -> String {
    hash.iter()
        .take(16)
        .fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
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

    #[test]
    fn only_unused_environments_that_nobody_builds_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let environments = fs_err::canonicalize(root.path()).unwrap();
        let builder = Builder {
            environments: environments.clone(),
            python: PathBuf::new(),
            uv: None,
            variables: Vec::new(),
            sandbox: false,
            without: Vec::new(),
        };
        for key in ["used", "old", "broken", "building"] {
            let place = builder.place("p", key).unwrap();
            place.clear().unwrap();
            if key != "broken" {
                File::create(&place.ready).unwrap();
            }
        }
        let held = builder.place("p", "building").unwrap();
        let used = HashSet::from([environments.join("used")]);

        assert_eq!(builder.prune(&used, Duration::from_secs(3600)).unwrap(), 1);
        assert!(environments.join("old").exists());
        assert_eq!(builder.prune(&used, Duration::ZERO).unwrap(), 1);
        let left: Vec<_> = ["used", "old", "broken", "building", "cache"]
            .map(|name| environments.join(name).exists())
            .into();
        assert_eq!(left, [true, false, false, true, true]);
        drop(held);
        assert_eq!(builder.prune(&used, Duration::ZERO).unwrap(), 1);
    }

    #[test]
    fn builds_get_what_they_need_of_the_servers_variables_and_no_key() {
        let given = [
            "HOME",
            "UV_INDEX_URL",
            "UV_INDEX_CORP_PASSWORD",
            "https_proxy",
            "ZIET_API_KEY",
            "UV_PUBLISH_TOKEN",
            "PATH",
        ];
        let builder = Builder {
            environments: PathBuf::new(),
            python: PathBuf::new(),
            uv: None,
            variables: given.iter().map(|name| (name.into(), "x".into())).collect(),
            sandbox: false,
            without: Vec::new(),
        };
        let names: Vec<_> = builder
            .passed_on(VARIABLES)
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(
            names,
            [
                "PATH",
                "UV_INDEX_CORP_PASSWORD",
                "UV_INDEX_URL",
                "https_proxy"
            ]
        );
    }
}
