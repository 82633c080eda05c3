//! Packing a project into a file that nobody else sees, and sending that.

use std::io::{Seek, SeekFrom};
use std::path::Path;

use serde_json::Value;
use ziet_server::bundle::pack;

use super::refused;
use crate::error::CliError;
use crate::output::Printer;
use crate::remote::Server;

const BUNDLE: &str = "application/zstd";

pub(super) fn upload(server: &Server, root: &Path, printer: &Printer) -> Result<Value, CliError> {
    let failed = |error| CliError::failed("the bundle", error);
    let mut file = tempfile::tempfile().map_err(failed)?;
    // It may be another by now than when it was looked through; the server says what it got.
    pack(root, &mut file, &mut |_| ()).map_err(refused)?;
    let length = file.seek(SeekFrom::End(0)).map_err(failed)?;
    file.seek(SeekFrom::Start(0)).map_err(failed)?;
    let bar = printer.bar("uploading", length);
    let sent = server.upload("/v1/deployments", BUNDLE, bar.wrap_read(file), length);
    bar.finish_and_clear();
    sent
}
