//! What shut-in code may read: one list, of which both the new root and the Landlock rules are made.
//!
//! It is a list of what is needed, never of what is to be hidden, and never `/` itself.

use std::path::{Path, PathBuf};

/// Libraries and programs, and what these need to find names, time zones, certificates and fonts; nothing that may hold
/// private keys.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ca-certificates.conf",
    "/etc/crypto-policies",
    "/etc/fonts",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/os-release",
    "/etc/passwd",
    "/etc/pki/ca-trust",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/pki/tls/openssl.cnf",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
    "/var/lib/ca-certificates",
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    "/sys/kernel/mm/transparent_hugepage",
];

/// Devices that are no way to anything.
pub(super) const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

/// Where processes put memory to share; in a namespace of mounts it is one of its own.
pub(super) const SHARED_MEMORY: &str = "/dev/shm";

/// What belongs to Python in the folder that it is installed in, which may also be somebody's home.
const INSTALLED: &[&str] = &[
    "bin",
    "etc",
    "include",
    "lib",
    "lib32",
    "lib64",
    "libexec",
    "pyvenv.cfg",
    "share",
    "ssl",
];

/// The folder below a project's in which the platform keeps its own state.
const STATE: &str = ".ziet";

/// Files and folders, of which those that are missing do not matter: the system's, an interpreter's, and `others`.
pub(super) fn readable<'a>(
    python: &Path,
    others: impl Iterator<Item = &'a PathBuf>,
) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = SYSTEM.iter().map(PathBuf::from).collect();
    paths.push(python.to_owned());
    for prefix in prefixes(python) {
        paths.extend(INSTALLED.iter().map(|part| prefix.join(part)));
        paths.extend(sdk_elsewhere(&prefix));
    }
    paths.extend(others.cloned());
    // One that lies in another is seen with it.
    paths.sort();
    paths
}

/// What lies in a readable folder, and is not for the project to see.
pub(super) fn hidden(project: &Path) -> PathBuf {
    project.join(STATE)
}

/// Whether a path leads to `/`.
pub(super) fn is_root(path: &Path) -> bool {
    fs_err::canonicalize(path).is_ok_and(|real| real.parent().is_none())
}

/// The folder of the SDK, where it is installed in editable mode. Of other packages such a file is not believed: whoever can install one
/// could have anything shown.
fn sdk_elsewhere(prefix: &Path) -> Option<PathBuf> {
    let mut libraries = fs_err::read_dir(prefix.join("lib")).ok()?.flatten();
    libraries.find_map(|library| {
        let file = library.path().join("site-packages/ziet.pth");
        let folder = fs_err::read_to_string(file).ok()?;
        let folder = PathBuf::from(folder.trim());
        (folder.is_absolute() && folder.join("ziet/_zygote.py").is_file()).then_some(folder)
    })
}

/// Where an interpreter and, if it belongs to an environment, that and the one beneath it are installed.
fn prefixes(python: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let prefix = |program: &Path| {
        let folder = program.parent()?;
        let above = folder.parent().filter(|_| folder.ends_with("bin"));
        Some(above.unwrap_or(folder).to_owned())
    };
    if let Some(environment) = prefix(python)
        && let Ok(about) = fs_err::read_to_string(environment.join("pyvenv.cfg"))
    {
        let home = about.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == "home").then(|| Path::new(value.trim()).join("python3"))
        });
        found.extend(home.as_deref().and_then(prefix));
        found.push(environment);
    }
    let real = fs_err::canonicalize(python).ok();
    found.extend(real.as_deref().and_then(prefix));
    // `/` is one where Python is `/bin/python3`; then all of `/etc` would belong to Python.
    found.retain(|prefix| !is_root(prefix));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editable_sdk_is_found_and_nothing_else_that_is_editable() {
        let root = tempfile::tempdir().unwrap();
        let (packages, sources) = ("lib/python3.12/site-packages", root.path().join("sources"));
        fs_err::create_dir_all(root.path().join(packages)).unwrap();
        fs_err::create_dir_all(sources.join("ziet")).unwrap();
        let file = root.path().join(packages).join("ziet.pth");
        fs_err::write(file, format!("{}\n", sources.display())).unwrap();

        assert_eq!(sdk_elsewhere(root.path()), None);
        fs_err::write(sources.join("ziet/_zygote.py"), "").unwrap();
        assert_eq!(sdk_elsewhere(root.path()), Some(sources));
    }

    #[test]
    fn an_environment_brings_the_installation_beneath_it_and_no_home() {
        let root = tempfile::tempdir().unwrap();
        let real = fs_err::canonicalize(root.path()).unwrap();
        let installed = real.join("versions/3.12");
        let environment = real.join("project/.venv");
        for folder in [&installed, &environment, &real.join("home")] {
            fs_err::create_dir_all(folder.join("bin")).unwrap();
        }
        fs_err::write(installed.join("bin/python3.12"), "").unwrap();
        let link = |from: PathBuf, to: PathBuf| fs_err::os::unix::fs::symlink(to, from).unwrap();
        link(
            real.join("home/bin/python3"),
            installed.join("bin/python3.12"),
        );
        link(
            environment.join("bin/python3"),
            real.join("home/bin/python3"),
        );
        let home = format!(
            "home = {}\nversion = 3.12\n",
            installed.join("bin").display()
        );
        fs_err::write(environment.join("pyvenv.cfg"), home).unwrap();

        let found = prefixes(&environment.join("bin/python3"));

        assert_eq!(found, [installed.clone(), environment, installed.clone()]);
        assert_eq!(prefixes(&real.join("home/bin/python3")), [installed]);
    }

    #[test]
    fn no_prefix_is_the_root_of_everything() {
        let root = tempfile::tempdir().unwrap();
        let environment = fs_err::canonicalize(root.path()).unwrap();
        fs_err::create_dir(environment.join("bin")).unwrap();
        for home in ["/bin", "/bin/..", "/bin/../bin"] {
            fs_err::write(environment.join("pyvenv.cfg"), format!("home = {home}\n")).unwrap();
            let found = prefixes(&environment.join("bin/python3"));
            assert!(!found.iter().any(|prefix| is_root(prefix)), "{found:?}");
            assert!(found.contains(&environment));
        }
    }
}
