//! What flags and variables say about the server to ask. What `ziet login` has kept is looked up by `remote`.

use std::path::PathBuf;

use super::client_table::{API_KEY, CLIENT};
use super::dev_server::DevServer;
use super::environment::Environment;
use super::flags::{Flags, Part};
use super::given_outside;
use super::table::Setting;
use crate::error::CliError;

/// The flags of the commands that speak with a server.
#[derive(Debug)]
pub(crate) enum OfClient {}

impl Part for OfClient {
    const GLOBAL: bool = false;

    fn settings() -> impl Iterator<Item = &'static Setting> {
        CLIENT.iter()
    }
}

/// Which server, as far as it is said outside of any file.
pub(crate) struct Client {
    /// A name or a URL.
    pub(crate) server: Option<String>,
    /// How that was said: `--server`.
    pub(crate) said: String,
    pub(crate) key: Option<String>,
    /// That of `ziet dev`, where one is there for the current folder.
    pub(crate) dev: Option<DevServer>,
    /// Where the servers of `ziet login` are kept; None where the user has no home.
    pub(crate) folder: Option<PathBuf>,
}

impl Client {
    /// # Errors
    /// When a value is wrong.
    pub(crate) fn resolve(
        flags: &Flags<OfClient>,
        environment: &Environment,
    ) -> Result<Self, CliError> {
        let mut client = Self {
            server: None,
            dev: environment.folder.as_deref().ok().and_then(DevServer::of),
            said: String::new(),
            key: environment.own(API_KEY),
            folder: environment.config.clone(),
        };
        for setting in CLIENT.iter().filter(|setting| setting.name != API_KEY) {
            if let Some(given) = given_outside(setting, flags, environment)? {
                client.said = given.origin.to_string();
                client.server = given.value.as_str().map(str::to_owned);
            }
        }
        Ok(client)
    }
}
