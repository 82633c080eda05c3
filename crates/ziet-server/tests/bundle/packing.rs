use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err as fs;
use fs_err::os::unix::fs::symlink;
use proptest::prelude::*;
use tempfile::tempdir;
use ziet_server::bundle::{BundleError, survey, unpack};

use super::{packed, tree, write};

fn names(root: &Path) -> Vec<String> {
    let found = survey(root, &mut |_| ()).unwrap();
    found.files.into_iter().map(|file| file.name).collect()
}

/// What is left out, with the reasons.
fn left_out(root: &Path) -> BTreeMap<String, String> {
    let found = survey(root, &mut |_| ()).unwrap().left_out;
    found
        .into_iter()
        .map(|left| (left.name, left.reason.to_string()))
        .collect()
}

fn executable(file: &Path) {
    fs::set_permissions(file, Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn comes_out_as_it_went_in() {
    let (root, place) = (tempdir().unwrap(), tempdir().unwrap());
    let long = format!("{}/{}.py", vec!["folder"; 30].join("/"), "x".repeat(120));
    write(
        root.path(),
        &[
            ("actions.py", "x = 1\n"),
            ("empty", ""),
            ("a b/ü.txt", "ü"),
            (&long, "long"),
            ("run.sh", "#!"),
        ],
    );
    executable(&root.path().join("run.sh"));
    fs::create_dir(root.path().join("no files")).unwrap();

    let mut read = 0;
    let mut bundle = Vec::new();
    let packed =
        ziet_server::bundle::pack(root.path(), &mut bundle, &mut |bytes| read = bytes).unwrap();
    let into = place.path().join("code");
    let digest = unpack(&*bundle, &into).unwrap();

    assert_eq!(digest, packed.digest);
    assert_eq!((read, packed.bytes), (14, 14));
    for file in &packed.files {
        assert_eq!(
            fs::read(root.path().join(&file.name)).unwrap(),
            fs::read(into.join(&file.name)).unwrap()
        );
    }
    let files: Vec<_> = tree(&into)
        .into_iter()
        .filter(|(name, _)| into.join(name).is_file())
        .collect();
    let modes: Vec<_> = packed
        .files
        .iter()
        .map(|file| {
            (
                file.name.clone(),
                if file.executable { 0o755 } else { 0o644 },
            )
        })
        .collect();
    assert_eq!(files.len(), 5);
    assert_eq!(files, modes);
    assert!(!into.join("no files").exists());
    assert!(
        tree(&into)
            .iter()
            .all(|(name, mode)| into.join(name).is_file() || *mode == 0o755)
    );
}

#[test]
fn the_digest_is_one_that_others_can_compute() {
    let root = tempdir().unwrap();
    write(
        root.path(),
        &[
            ("bin/tool", "#!/bin/sh\n"),
            ("bin-b", ""),
            ("actions.py", "x = 1\n"),
        ],
    );
    executable(&root.path().join("bin/tool"));

    let found = survey(root.path(), &mut |_| ()).unwrap();

    // SHA-256 over name, 0, whether it is executable, length in eight bytes, SHA-256 of the content, as Python does it.
    let expected = "4f13f743d53b813e9be300d73b55a6e555ef95cba8270f3b0c2b9f8f46b71dd6";
    assert_eq!(found.digest.to_string(), expected);
    assert_eq!(found.digest.version(), "4f13f743d53b");
    assert_eq!(names(root.path()), ["actions.py", "bin-b", "bin/tool"]);
}

#[test]
fn times_owners_and_most_of_modes_are_not_content() {
    let (one, other) = (tempdir().unwrap(), tempdir().unwrap());
    write(one.path(), &[("a.py", "1"), ("b/c.py", "2")]);
    write(other.path(), &[("b/c.py", "2"), ("a.py", "1")]);
    fs::set_permissions(other.path().join("a.py"), Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(other.path().join("b"), Permissions::from_mode(0o700)).unwrap();
    let file = std::fs::File::options()
        .write(true)
        .open(other.path().join("a.py"))
        .unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();

    let (bundle, packed_one) = packed(one.path()).unwrap();
    let (same, packed_other) = packed(other.path()).unwrap();

    assert_eq!(packed_one.digest, packed_other.digest);
    assert_eq!(bundle, same);
    executable(&other.path().join("a.py"));
    assert_ne!(
        survey(other.path(), &mut |_| ()).unwrap().digest,
        packed_one.digest
    );
}

#[test]
fn secrets_and_what_tools_keep_stay_behind_and_are_told() {
    let root = tempdir().unwrap();
    let key = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn";
    write(
        root.path(),
        &[
            ("actions.py", ""),
            (".env", "KEY=1"),
            ("conf/.env.production", "KEY=1"),
            (".git/config", ""),
            ("server.pem", ""),
            ("conf/id_ed25519_ci", ""),
            ("conf/notes.txt", key),
            ("conf/kept.txt", "not a key"),
            ("my-environment/pyvenv.cfg", "home = /usr/bin"),
            ("my-environment/lib/site.py", ""),
            ("__pycache__/actions.cpython-311.pyc", ""),
            (".mypy_cache/x", ""),
            (".pytest_cache/x", ""),
            (".ruff_cache/x", ""),
            ("web/node_modules/x.js", ""),
            (".ziet/ziet.db", ""),
            ("stray.pyc", ""),
            (".zietignore", "!.env\n!server.pem\n!.git\n"),
        ],
    );

    assert_eq!(
        names(root.path()),
        [".zietignore", "actions.py", "conf/kept.txt"]
    );
    let variables = "environment variables (`ziet env set` keeps them)";
    let expected = [
        (".env", variables),
        ("conf/.env.production", variables),
        (".git/", "version control"),
        ("server.pem", "private key"),
        ("conf/id_ed25519_ci", "private key"),
        ("conf/notes.txt", "private key"),
        ("my-environment/", "virtual environment"),
        ("__pycache__/", "cache"),
        (".mypy_cache/", "cache"),
        (".pytest_cache/", "cache"),
        (".ruff_cache/", "cache"),
        ("web/node_modules/", "cache"),
        (".ziet/", "state of ziet"),
        ("stray.pyc", "cache"),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(name, why)| (name.to_owned(), why.to_owned()))
        .into();
    assert_eq!(left_out(root.path()), expected);
}

#[test]
fn patterns_leave_out_and_take_back_also_without_git() {
    let root = tempdir().unwrap();
    write(
        root.path(),
        &[
            (".gitignore", "*.csv\n/build/\n!kept.csv\n"),
            (".zietignore", "docs/\n!small.csv\n"),
            ("a.csv", ""),
            ("kept.csv", ""),
            ("small.csv", ""),
            ("build/x", ""),
            ("deep/build/x", ""),
            ("docs/x.md", ""),
            ("deep/.gitignore", "!b.csv\nlocal.py\n"),
            ("deep/b.csv", ""),
            ("deep/local.py", ""),
            ("local.py", ""),
        ],
    );

    let expected = [
        ".gitignore",
        ".zietignore",
        "deep/.gitignore",
        "deep/b.csv",
        "deep/build/x",
        "kept.csv",
        "local.py",
        "small.csv",
    ];
    assert_eq!(names(root.path()), expected);
    let expected = [
        ("a.csv", "`*.csv` in .gitignore"),
        ("build/", "`/build/` in .gitignore"),
        ("docs/", "`docs/` in .zietignore"),
        ("deep/local.py", "`local.py` in deep/.gitignore"),
    ];
    let expected: BTreeMap<_, _> = expected
        .map(|(name, why)| (name.to_owned(), why.to_owned()))
        .into();
    assert_eq!(left_out(root.path()), expected);
}

#[test]
fn a_project_in_a_repository_follows_the_patterns_of_that_and_no_further() {
    let outside = tempdir().unwrap();
    let project = outside.path().join("repository/services/shop");
    write(
        outside.path(),
        &[
            (".gitignore", "*.py\n"),
            ("repository/.git/HEAD", ""),
            ("repository/.gitignore", "*.csv\nservices/shop/big/\n"),
            ("repository/services/shop/actions.py", ""),
            ("repository/services/shop/a.csv", ""),
            ("repository/services/shop/big/x", ""),
        ],
    );
    assert_eq!(names(&project), ["actions.py"]);
    fs::remove_dir_all(outside.path().join("repository/.git")).unwrap();
    assert_eq!(names(&project), ["a.csv", "actions.py", "big/x"]);
}

#[test]
fn a_pattern_that_is_none_is_told() {
    let root = tempdir().unwrap();
    write(
        root.path(),
        &[("a.py", ""), (".zietignore", "fine\n[z-a]\n")],
    );
    let error = survey(root.path(), &mut |_| ()).unwrap_err().to_string();
    assert!(
        error.contains(".zietignore") && error.contains("line 2"),
        "{error}"
    );
}

#[test]
fn links_to_files_of_the_project_are_files_and_others_are_errors() {
    let (root, other) = (tempdir().unwrap(), tempdir().unwrap());
    write(root.path(), &[("data/a.txt", "text"), (".env", "KEY=1")]);
    write(other.path(), &[("secret", "x")]);
    symlink("data/a.txt", root.path().join("link.txt")).unwrap();
    symlink("link.txt", root.path().join("again.txt")).unwrap();
    symlink(".env", root.path().join("settings")).unwrap();
    assert_eq!(names(root.path()), ["again.txt", "data/a.txt", "link.txt"]);
    assert!(left_out(root.path()).contains_key("settings"));
    let (bundle, _) = packed(root.path()).unwrap();
    let into = other.path().join("code");
    unpack(&*bundle, &into).unwrap();
    assert_eq!(fs::read_to_string(into.join("again.txt")).unwrap(), "text");
    assert!(
        tree(&into)
            .iter()
            .all(|(name, _)| !into.join(name).is_symlink())
    );

    symlink(other.path().join("secret"), root.path().join("out")).unwrap();
    symlink("none", root.path().join("dangling")).unwrap();
    symlink("data", root.path().join("folder")).unwrap();
    symlink("/dev/null", root.path().join("device")).unwrap();
    let error = survey(root.path(), &mut |_| ()).unwrap_err().to_string();
    for told in [
        "the link \"out\" leads out of the project",
        "the link \"dangling\" leads nowhere",
        "the link \"folder\" leads to a folder",
        "the link \"device\" leads out of the project",
        ".zietignore",
    ] {
        assert!(error.contains(told), "{error}");
    }
    write(
        root.path(),
        &[(".zietignore", "out\ndangling\nfolder\ndevice\n")],
    );
    assert_eq!(names(root.path()).len(), 4);
}

#[test]
fn what_is_too_large_is_told_with_its_largest_files() {
    let root = tempdir().unwrap();
    write(root.path(), &[("actions.py", "x")]);
    for (name, megabytes) in [
        ("models/large.bin", 200),
        ("models/small.bin", 1),
        ("video.mp4", 60),
    ] {
        write(root.path(), &[(name, "")]);
        let file = std::fs::File::options()
            .write(true)
            .open(root.path().join(name))
            .unwrap();
        file.set_len(megabytes << 20).unwrap();
    }
    let error = survey(root.path(), &mut |_| ()).unwrap_err().to_string();
    assert!(
        error.starts_with("the files are 261.0 MB, limit 250 MB; "),
        "{error}"
    );
    let place = |name: &str| error.find(name).unwrap_or_else(|| panic!("{error}"));
    assert!(place("200.0 MB  models/large.bin") < place("60.0 MB  video.mp4"));
    assert!(place("video.mp4") < place("models/small.bin"));
}

#[test]
fn a_project_without_files_and_names_that_cannot_travel_are_told() {
    let root = tempdir().unwrap();
    let error = survey(root.path(), &mut |_| ()).unwrap_err();
    assert!(matches!(error, BundleError::Empty), "{error}");
    fs::write(root.path().join("two\nlines"), "").unwrap();
    let error = survey(root.path(), &mut |_| ()).unwrap_err().to_string();
    assert_eq!(error, "\"two\\nlines\": the name has a control character");
    fs::remove_file(root.path().join("two\nlines")).unwrap();
    let name = std::ffi::OsStr::from_bytes(b"caf\xe9.py");
    fs::write(root.path().join(name), "").unwrap();
    let error = survey(root.path(), &mut |_| ()).unwrap_err().to_string();
    assert_eq!(error, "\"caf\u{fffd}.py\": the name is not UTF-8");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever lies in a project comes out of its bundle with the same digest, whichever way it was made.
    #[test]
    fn any_files_travel(files in proptest::collection::btree_map(
        "[a-cA-C]{1,3}(/[a-c~ .é-]{1,120}[a-z]){0,3}",
        (proptest::collection::vec(any::<u8>(), 0..2000), any::<bool>()),
        1..12,
    )) {
        let (root, place) = (tempdir().unwrap(), tempdir().unwrap());
        for (name, (content, is_executable)) in &files {
            let file = root.path().join(name);
            // One name may need a folder where another has a file.
            if fs::create_dir_all(file.parent().unwrap()).is_ok() && fs::write(&file, content).is_ok() && *is_executable {
                executable(&file);
            }
        }
        let (bundle, packed) = packed(root.path()).unwrap();
        let into = place.path().join("code");
        prop_assert_eq!(unpack(&*bundle, &into).unwrap(), packed.digest);
        prop_assert_eq!(survey(&into, &mut |_| ()).unwrap().digest, packed.digest);
        prop_assert!(packed.files.is_sorted_by(|one, other| one.name < other.name));
    }
}
