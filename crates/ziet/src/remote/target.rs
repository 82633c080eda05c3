//! Which server to ask, and with which key: what was typed, else the variables, else that of `ziet dev` in this
//! folder, else what `ziet login` has kept.

use std::path::PathBuf;

use super::address::Address;
use super::servers::{Kept, Servers};
use crate::error::CliError;
use crate::settings::{Client, Environment, Flags, OfClient};

/// What it takes to ask a server.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) address: Address,
    pub(crate) key: String,
    /// The project to name, for a key that may act for several.
    pub(crate) project: Option<String>,
}

impl Target {
    /// # Errors
    /// When no server is known, there is no key for it, or what is said of it is wrong.
    pub(crate) fn find(
        flags: &Flags<OfClient>,
        environment: &Environment,
    ) -> Result<Self, CliError> {
        Self::known(flags, environment)?.ok_or_else(|| {
            CliError::usage("no server is known").hint(
                "`ziet login URL` keeps a server and its key; or set ZIET_SERVER and ZIET_API_KEY",
            )
        })
    }

    /// None where no server is known.
    pub(crate) fn known(
        flags: &Flags<OfClient>,
        environment: &Environment,
    ) -> Result<Option<Self>, CliError> {
        let client = Client::resolve(flags, environment)?;
        let servers = client.folder.as_deref().map(Servers::read).transpose()?;
        let servers = servers.unwrap_or_default();
        let Some(said) = &client.server else {
            if let Some(dev) = client.dev {
                return Ok(Some(Self {
                    address: Address::parse(&dev.url, "the server of `ziet dev`")?,
                    key: dev.key,
                    project: None,
                }));
            }
            return Self::usual(&client, &servers);
        };
        if let Some(kept) = servers.servers.get(said) {
            return Self::of(kept, client.key).map(Some);
        }
        if !said.contains("://") {
            return Err(unknown(said, &client.said, &servers));
        }
        let address = Address::parse(said, &client.said)?;
        let kept = servers.of_url(&address.url);
        let key = client.key.or_else(|| Some(kept?.key.clone()));
        let key = key.ok_or_else(|| {
            let login = format!(
                "`ziet login {}` keeps one; or set ZIET_API_KEY",
                address.url
            );
            CliError::usage(format!("there is no key for {}", address.url)).hint(login)
        })?;
        Ok(Some(Self {
            project: kept.and_then(|kept| kept.project.clone()),
            address,
            key,
        }))
    }

    /// The default of the file.
    fn usual(client: &Client, servers: &Servers) -> Result<Option<Self>, CliError> {
        let Some(name) = &servers.default else {
            if servers.servers.is_empty() {
                return Ok(None);
            }
            let message = format!("no server is the default: there are {}", servers.names());
            return Err(CliError::usage(message)
                .hint("name one with --server, or make it the default: `ziet login NAME`"));
        };
        let kept = servers.servers.get(name);
        let kept = kept.ok_or_else(|| unknown(name, "the default server", servers))?;
        Self::of(kept, client.key.clone()).map(Some)
    }

    fn of(kept: &Kept, key: Option<String>) -> Result<Self, CliError> {
        Ok(Self {
            address: Address::parse(&kept.url, "the server of `ziet login`")?,
            key: key.unwrap_or_else(|| kept.key.clone()),
            project: kept.project.clone(),
        })
    }
}

fn unknown(name: &str, said: &str, servers: &Servers) -> CliError {
    let hint = if servers.servers.is_empty() {
        "give a URL such as https://shop.example.com; `ziet login URL` keeps it under a name"
            .to_owned()
    } else {
        format!(
            "there are {}; or give a URL such as https://shop.example.com",
            servers.names()
        )
    };
    CliError::usage(format!("{said} {name}: there is no server of this name")).hint(hint)
}

/// Where `ziet login` keeps what it is told.
///
/// # Errors
/// When the user has no home.
pub(crate) fn folder(environment: &Environment) -> Result<PathBuf, CliError> {
    environment.config.clone().ok_or_else(|| {
        CliError::usage("there is no place for the key: HOME is not set")
            .hint("set ZIET_SERVER and ZIET_API_KEY instead")
    })
}
