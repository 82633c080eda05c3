//! `ziet login` and `ziet logout`: the servers that are kept, each with the key for it.

use std::process::ExitCode;

use clap::Args;
use serde::{Deserialize, Serialize};

use super::secret;
use crate::error::CliError;
use crate::output::{Printer, quoted};
use crate::remote::{Address, Kept, Server, Servers, Target, folder};
use crate::settings::Environment;

/// Keep a server and a key for it
///
/// The key is asked for, without showing it, or read from standard input. It is kept, once the server knows it, in
/// `~/.config/ziet/servers.toml`, which only you can read. The server becomes the one that is asked where none is named.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  ziet login https://shop.example.com
  ziet login http://127.0.0.1:7878 < ~/.local/state/ziet/admin.key     the server on this machine
  ziet login https://shop.example.com --name billing --project billing
  ziet login billing                                                   asks this one from now on")]
pub(crate) struct Login {
    /// Its URL; or the name of one that is kept, which then becomes the one to ask
    #[arg(value_name = "URL|NAME")]
    server: String,

    /// What to call it; the name in the URL if this is not given
    #[arg(long)]
    name: Option<String>,

    /// The project to ask about, with a key that may act for several
    #[arg(long, value_name = "ID")]
    project: Option<String>,

    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Forget a server and the key for it
///
/// The key itself stays good: `ziet keys revoke` ends that.
#[derive(Debug, Args)]
pub(crate) struct Logout {
    /// What it is called; the one that is asked where none is named, if this is not given
    name: Option<String>,
}

/// What the server says of a key.
#[derive(Deserialize, Serialize)]
struct OwnKey {
    name: String,
    project_id: Option<String>,
    scopes: Vec<String>,
    server_version: String,
}

#[derive(Serialize)]
struct LoggedIn<'a> {
    name: &'a str,
    url: &'a str,
    project: Option<&'a str>,
    key: &'a OwnKey,
}

pub(crate) fn login(
    args: &Login,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let folder = folder(environment)?;
    let mut servers = Servers::read(&folder)?;
    let (name, kept) = wanted(args, &servers, printer)?;
    let server = Server::new(Target {
        address: Address::parse(&kept.url, "the URL")?,
        key: kept.key.clone(),
        project: kept.project.clone(),
    })?;
    let key: OwnKey = server.get("/v1/key", &[])?;
    servers.servers.insert(name.clone(), kept.clone());
    servers.default = Some(name.clone());
    let file = servers.write(&folder)?;
    if args.json {
        let (url, project) = (&*kept.url, kept.project.as_deref());
        let name = &*name;
        printer.document(&LoggedIn {
            name,
            url,
            project,
            key: &key,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let whose = match (&key.project_id, &kept.project) {
        (Some(project), _) => format!("the project {project}"),
        (None, Some(project)) => format!("all projects, asked about {project}"),
        (None, None) => "all projects".to_owned(),
    };
    let (url, scopes) = (&kept.url, key.scopes.join(", "));
    printer.line(format_args!(
        "Logged in to {url} with the key {}: {scopes}, for {whose}",
        quoted(&key.name)
    ));
    printer.aside(format_args!(
        "Kept as {name} in {}, and asked where no other server is named",
        file.display()
    ));
    if of_release(&key.server_version) != of_release(env!("CARGO_PKG_VERSION")) {
        let version = &key.server_version;
        printer.note(format_args!(
            "the server is ziet {version}, and this is {}",
            env!("CARGO_PKG_VERSION")
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// What is to be kept, if the server takes the key.
fn wanted(args: &Login, servers: &Servers, printer: &Printer) -> Result<(String, Kept), CliError> {
    if let Some(kept) = servers.servers.get(&args.server) {
        let project = args.project.clone().or_else(|| kept.project.clone());
        let name = args.name.as_ref().unwrap_or(&args.server);
        return Ok((
            checked(name)?,
            Kept {
                project,
                ..kept.clone()
            },
        ));
    }
    let address = Address::parse(&args.server, "the server")?;
    if !address.encrypted && !address.is_here() {
        printer.warning(format_args!(
            "the key travels to {} as it is, and whoever is on the way can read it: use https:// where there is somebody",
            address.url
        ));
    }
    let name = checked(args.name.as_ref().unwrap_or(&address.authority))?;
    let key = secret::read(&format!("Key for {}: ", address.url), printer)?;
    if key.is_empty() {
        return Err(CliError::usage("there is no key")
            .hint("type it, or give it on standard input: `ziet login URL < FILE`"));
    }
    let (url, project) = (address.url, args.project.clone());
    Ok((name, Kept { url, key, project }))
}

/// A name that can be typed, and told from a URL.
fn checked(name: &str) -> Result<String, CliError> {
    let fits = |char: char| char.is_ascii_alphanumeric() || "._:-[]".contains(char);
    if !name.is_empty() && name.len() <= 200 && name.chars().all(fits) && !name.starts_with('-') {
        return Ok(name.to_owned());
    }
    Err(CliError::usage(format!("{name:?} is no name of a server"))
        .hint("a name has letters, digits and `.`, `_`, `:`, `-`; give one with --name"))
}

/// Programs of one release understand each other.
fn of_release(version: &str) -> Option<(&str, &str)> {
    let (major, rest) = version.split_once('.')?;
    Some((major, rest.split('.').next()?))
}

pub(crate) fn logout(
    args: &Logout,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let folder = folder(environment)?;
    let mut servers = Servers::read(&folder)?;
    let name = args.name.clone().or_else(|| servers.default.clone());
    let Some(name) = name else {
        let error = CliError::usage("no server is the default");
        return Err(error.hint(known(&servers)));
    };
    if servers.servers.remove(&name).is_none() {
        let error = CliError::usage(format!("no server is kept as {name}"));
        return Err(error.hint(known(&servers)));
    }
    if servers.default.as_ref() == Some(&name) {
        // The only one that is left is meant where none is named.
        let mut left = servers.servers.keys();
        servers.default = left.next().filter(|_| left.next().is_none()).cloned();
    }
    servers.write(&folder)?;
    printer.line(format_args!("Forgot {name} and the key for it"));
    if let Some(default) = &servers.default {
        printer.aside(format_args!(
            "{default} is asked where no other server is named"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn known(servers: &Servers) -> String {
    if servers.servers.is_empty() {
        "none is kept: `ziet login URL` keeps one".to_owned()
    } else {
        format!("there are {}", servers.names())
    }
}
