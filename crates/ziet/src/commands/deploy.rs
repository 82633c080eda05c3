//! `ziet deploy`: the project in a folder becomes the active version on a server.

mod changes;
mod upload;

use std::process::ExitCode;

use clap::{Args, ValueHint};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::json as object;
use ziet_server::bundle::{BundleError, Digest, LeftOut, Packed, PackedFile, survey};

use self::changes::Changes;
use self::upload::upload;
use super::deployments::{Deployment, follow};
use crate::error::CliError;
use crate::output::{Printer, Table, counted, quoted};
use crate::remote::Server;
use crate::settings::{Environment, Flags, OfClient, Settings};

/// Deploy the project to a server
///
/// Packs the project's folder, uploads it, has its Python environment built there, and makes it the version that new runs are executed by. Runs
/// that were accepted before stay on theirs. What has not changed is not uploaded again. Files that `.gitignore` or `.zietignore` name are left out, and so are
/// always `.env` files, private keys, environments and caches.
#[derive(Debug, Args)]
pub(crate) struct Deploy {
    /// The folder of the project, instead of this one
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    folder: Option<String>,

    /// Deploy nothing; show what would be, and what would be left out
    #[arg(long, visible_alias = "list")]
    dry_run: bool,

    /// Print one JSON document
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    server: Flags<OfClient>,
}

/// What `--dry-run --json` prints.
#[derive(Serialize)]
struct Survey<'a> {
    version: String,
    digest: String,
    bytes: u64,
    files: &'a [PackedFile],
    left_out: &'a [LeftOut],
}

/// What `--json` prints: the deployment, and how its actions differ from those of the version before.
#[derive(Serialize)]
struct Deployed<'a> {
    #[serde(flatten)]
    deployment: &'a Value,
    changes: &'a Changes,
}

#[derive(Deserialize)]
struct OwnKey {
    project_id: Option<String>,
}

pub(crate) fn deploy(
    args: &Deploy,
    settings: &Flags,
    environment: &Environment,
    printer: &mut Printer,
) -> Result<ExitCode, CliError> {
    let settings = match &args.folder {
        Some(_) if settings.is_given("project") => {
            return Err(
                CliError::usage("the project's folder is given twice").hint("leave out --project")
            );
        }
        Some(folder) => settings.in_folder(folder),
        None => settings.clone(),
    };
    let settings = Settings::resolve(&settings, environment)?;
    let packed = survey(settings.root(), &mut |_| ()).map_err(refused)?;
    if args.dry_run {
        return show(&packed, args.json, printer);
    }
    let server = Server::find(&args.server, environment)?;
    let server = named(server, settings.name())?;
    let before = changes::actions(&server)?;
    let sent = send(&server, &settings, packed.digest, printer)?;
    let deployment = follow(&server, sent, printer)?;
    let after = changes::actions(&server)?;
    let changes = Changes::between(&before, &after);
    let shown: Deployment = Deployment::read(&deployment)?;
    if args.json {
        printer.document(&Deployed {
            deployment: &deployment,
            changes: &changes,
        })?;
    } else {
        tell(&shown, &changes, printer);
    }
    Ok(ExitCode::SUCCESS)
}

/// A key for all projects has to say which one is meant: that of the folder, unless `ziet login` was told another.
fn named(server: Server, project: &str) -> Result<Server, CliError> {
    let key: OwnKey = server.get("/v1/key", &[])?;
    if key.project_id.is_none() && !server.names_project() {
        return server.of_project(project);
    }
    Ok(server)
}

/// Has the server make a version of these files, and says what that is by then. Files that it has are not sent.
fn send(
    server: &Server,
    settings: &Settings,
    digest: Digest,
    printer: &Printer,
) -> Result<Value, CliError> {
    let path = format!("/v1/deployments/{}", digest.version());
    let there = match server.get::<Value>(&path, &[]) {
        Err(error)
            if error.has_code("deployment_not_found") || error.has_code("project_not_found") =>
        {
            None
        }
        there => Some(there?),
    };
    if let Some(there) = there.filter(|there| there["digest"] == digest.to_string()) {
        match Deployment::read(&there)?.status.as_str() {
            "ready" => {
                printer.progress("the server has these files already");
                return server.post(&format!("{path}/activate"), &object!({}));
            }
            "building" => return Ok(there),
            // It may have been the server's fault, or that of an index.
            _ => {}
        }
    }
    upload(server, settings.root(), printer)
}

fn refused(error: BundleError) -> CliError {
    if error.is_of_disk() {
        CliError::failed("the project cannot be packed", error)
    } else {
        CliError::refused("the project cannot be deployed", error)
    }
}

fn show(packed: &Packed, as_json: bool, printer: &mut Printer) -> Result<ExitCode, CliError> {
    if as_json {
        printer.document(&Survey {
            version: packed.digest.version(),
            digest: packed.digest.to_string(),
            bytes: packed.bytes,
            files: &packed.files,
            left_out: &packed.left_out,
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut files = Table::new(&["deployed", "size"]);
    for file in &packed.files {
        files.row([file.name.clone(), size(file.bytes)]);
    }
    printer.table(files);
    if !packed.left_out.is_empty() {
        printer.line("");
        let mut left_out = Table::new(&["left out", "why"]);
        for left in &packed.left_out {
            left_out.row([left.name.clone(), left.reason.to_string()]);
        }
        printer.table(left_out);
    }
    printer.aside(format_args!(
        "Version {}: {}, {}",
        packed.digest.version(),
        counted(packed.files.len(), "file"),
        size(packed.bytes)
    ));
    Ok(ExitCode::SUCCESS)
}

fn tell(deployment: &Deployment, changes: &Changes, printer: &mut Printer) {
    printer.line(format_args!(
        "Version {} of {} is active: {}",
        deployment.version,
        quoted(&deployment.project_id),
        counted(deployment.actions.len(), "action")
    ));
    for line in changes.lines() {
        printer.line(format_args!("  {line}"));
    }
}

/// `12 B`, `3.4 kB`, `5.6 MB`
fn size(bytes: u64) -> String {
    #[expect(
        clippy::cast_precision_loss,
        reason = "files are far smaller than 2^52 bytes"
    )]
    let shown = |unit: u64| format!("{:.1}", bytes as f64 / unit as f64);
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{} kB", shown(1024)),
        _ => format!("{} MB", shown(1 << 20)),
    }
}
