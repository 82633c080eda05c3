//! The values of a server's settings, typed.
//!
//! They are given by flags and variables only: a server has several projects, and none of them decides for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;
use ziet_server::TlsFiles;
use ziet_store::Durability;

use super::environment::Environment;
use super::flags::{Flags, Part};
use super::server_table::SERVING;
use super::table::{Default, Setting};
use super::{given_outside, measure};
use crate::error::CliError;

/// The flags of the commands that need nothing but a server's state.
#[derive(Debug)]
pub(crate) enum OfState {}

/// The flags of `ziet serve`.
#[derive(Debug)]
pub(crate) enum OfServer {}

/// The flags of `ziet dev`.
#[derive(Debug)]
pub(crate) enum OfDev {}

impl Part for OfDev {
    const GLOBAL: bool = false;

    fn settings() -> impl Iterator<Item = &'static Setting> {
        SERVING.iter().filter(|setting| setting.name == "listen")
    }
}

impl Part for OfState {
    const GLOBAL: bool = false;

    fn settings() -> impl Iterator<Item = &'static Setting> {
        SERVING.iter().filter(|setting| setting.name == "state")
    }
}

impl Part for OfServer {
    const GLOBAL: bool = false;

    fn settings() -> impl Iterator<Item = &'static Setting> {
        SERVING.iter()
    }
}

/// The values for one server.
#[derive(Deserialize)]
pub(crate) struct Serving {
    pub(crate) listen: SocketAddr,
    tls_cert: Option<PathBuf>,
    tls_key: Option<PathBuf>,
    pub(crate) behind_proxy: bool,
    #[serde(rename = "host")]
    pub(crate) hosts: Vec<String>,
    durability: Synchronous,
    #[serde(deserialize_with = "measure::age")]
    pub(crate) retention: Option<Duration>,
    #[serde(deserialize_with = "measure::time")]
    pub(crate) grace: Duration,
    pub(crate) max_queued: u64,
    #[serde(deserialize_with = "measure::bytes")]
    pub(crate) max_queued_bytes: u64,
    pub(crate) public_metrics: bool,
    pub(crate) uv: Option<PathBuf>,
    pub(crate) log_format: LogFormat,
    pub(crate) log_level: String,
    #[serde(skip)]
    pub(crate) clock_offset: i64,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Synchronous {
    Full,
    Normal,
}

#[derive(Clone, Copy, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Serving {
    /// # Errors
    /// When a value is wrong, or the server would be open to a network without protection.
    pub(crate) fn resolve<P: Part>(
        flags: &Flags<P>,
        environment: &Environment,
    ) -> Result<Self, CliError> {
        let mut values = serde_json::Map::new();
        for setting in SERVING.iter().filter(|setting| setting.name != "state") {
            let given = given_outside(setting, flags, environment)?;
            let default = || match setting.default {
                Default::Is(text) => setting.kind.read(text).unwrap_or_default(),
                Default::Depends(_) => Value::Null,
            };
            let value = given.map_or_else(default, |given| given.value);
            values.insert(setting.name.to_owned(), value);
        }
        let mut serving: Self = serde_json::from_value(Value::Object(values))
            .map_err(|error| CliError::failed("the settings", error))?;
        serving.clock_offset = environment.clock_offset;
        serving.check()?;
        Ok(serving)
    }

    /// For `ziet dev`, whose log tells what is wrong and leaves the rest to what is shown of runs. Also whether somebody has said
    /// where it is to listen.
    ///
    /// # Errors
    /// As above.
    pub(crate) fn of_dev(
        flags: &Flags<OfDev>,
        environment: &Environment,
    ) -> Result<(Self, bool), CliError> {
        let mut serving = Self::resolve(flags, environment)?;
        let is_given = |name| {
            let setting = SERVING.iter().find(|setting| setting.name == name);
            let given = setting.map(|setting| given_outside(setting, flags, environment));
            given.transpose().map(|given| given.flatten().is_some())
        };
        if !is_given("log_level")? {
            "warn".clone_into(&mut serving.log_level);
        }
        serving.public_metrics = true;
        Ok((serving, is_given("listen")?))
    }

    /// The certificate and its key, as files in the form PEM.
    pub(crate) fn tls(&self) -> Option<TlsFiles> {
        let files = self.tls_cert.clone().zip(self.tls_key.clone());
        files.map(|(certificate, key)| TlsFiles { certificate, key })
    }

    pub(crate) fn durability(&self) -> Durability {
        match self.durability {
            Synchronous::Full => Durability::Full,
            Synchronous::Normal => Durability::Normal,
        }
    }

    fn check(&self) -> Result<(), CliError> {
        if let Some(uv) = self.uv.as_ref().filter(|uv| !uv.is_file()) {
            let message = format!("--uv {}: there is no such file", uv.display());
            return Err(CliError::usage(message));
        }
        match (&self.tls_cert, &self.tls_key) {
            (Some(_), None) => return Err(CliError::usage("--tls-cert needs --tls-key beside it")),
            (None, Some(_)) => return Err(CliError::usage("--tls-key needs --tls-cert beside it")),
            (Some(_), Some(_)) | (None, None) => {}
        }
        if let Some(files) = self.tls() {
            files
                .check()
                .map_err(|error| CliError::refused("--tls-cert and --tls-key", error))?;
        }
        self.check_address(self.listen)
    }

    /// # Errors
    /// When others could reach the server at this address, and the keys on their way to it.
    pub(crate) fn check_address(&self, address: SocketAddr) -> Result<(), CliError> {
        let protected = self.tls_cert.is_some() || self.behind_proxy;
        if address.ip().is_loopback() || protected {
            return Ok(());
        }
        let message = format!("--listen {address}: others could read the keys on their way");
        Err(CliError::usage(message).hint(
            "give --tls-cert and --tls-key, or --behind-proxy if something in front of it encrypts",
        ))
    }
}

/// The folder with the state of a server; it need not exist.
pub(crate) fn state_folder<P: Part>(
    flags: &Flags<P>,
    environment: &Environment,
) -> Result<PathBuf, CliError> {
    let setting = SERVING.iter().find(|setting| setting.name == "state");
    let given = setting.map(|setting| given_outside(setting, flags, environment));
    let folder = environment.folder.clone()?;
    match given.transpose()?.flatten() {
        Some(given) => Ok(given.path(&folder, &folder)),
        None => environment.state.clone().ok_or_else(|| {
            CliError::usage("there is no place for the state: HOME is not set")
                .hint("name a folder with --state")
        }),
    }
}

/// What `ziet settings` shows.
pub(super) fn default_state(environment: &Environment) -> Value {
    environment
        .state
        .as_ref()
        .map_or(Value::Null, |state| state.to_string_lossy().into())
}
