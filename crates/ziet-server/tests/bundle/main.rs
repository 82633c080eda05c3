//! Bundles, from a project's folder to the folder of a deployment: what goes in, what comes out, and what is refused.

#![expect(
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its steps too"
)]

mod hostile;
mod packing;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use ziet_server::bundle::{BundleError, Packed, pack};

/// Writes files with their text below a folder.
fn write(root: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let file = root.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
}

fn packed(root: &Path) -> Result<(Vec<u8>, Packed), BundleError> {
    let mut bundle = Vec::new();
    let packed = pack(root, &mut bundle, &mut |_| ())?;
    Ok((bundle, packed))
}

/// The names of everything below a folder, with their modes.
fn tree(root: &Path) -> Vec<(String, u32)> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let about = fs::symlink_metadata(entry.path()).unwrap();
            let name = entry
                .path()
                .strip_prefix(root)
                .unwrap()
                .to_str()
                .unwrap()
                .to_owned();
            found.push((name, about.permissions().mode() & 0o7777));
            if about.is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}
