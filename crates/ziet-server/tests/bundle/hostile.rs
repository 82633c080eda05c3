use std::io::Write;

use fs_err as fs;
use proptest::prelude::*;
use tar::{EntryType, Header};
use tempfile::{TempDir, tempdir};
use ziet_server::bundle::{BundleError, unpack};

use super::{packed, tree, write};

/// An archive as hostile as its bytes.
#[derive(Default)]
struct Forged(Vec<u8>);

impl Forged {
    /// An entry of any kind; its name is written as it is, whatever a careful library would say.
    fn entry(mut self, kind: EntryType, name: &[u8], declared: u64, content: &[u8]) -> Self {
        let mut header = Header::new_ustar();
        header.as_mut_bytes()[..name.len().min(100)].copy_from_slice(&name[..name.len().min(100)]);
        header.set_entry_type(kind);
        header.set_mode(0o644);
        header.set_size(declared);
        if matches!(kind, EntryType::Symlink | EntryType::Link) {
            header.set_link_name_literal("/etc/passwd").unwrap();
        }
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        let padding = content.len().next_multiple_of(512) - content.len();
        self.0.extend(std::iter::repeat_n(0, padding));
        self
    }

    fn file(self, name: &str) -> Self {
        self.entry(EntryType::Regular, name.as_bytes(), 1, b"x")
    }

    /// A file whose name, or whatever else, stands in a header before it.
    fn pax(self, key: &str, value: &str) -> Self {
        let rest = format!(" {key}={value}\n");
        // The length counts its own digits.
        let mut length = rest.len();
        while length != rest.len() + length.to_string().len() {
            length = rest.len() + length.to_string().len();
        }
        let record = format!("{length}{rest}");
        self.entry(
            EntryType::XHeader,
            b"pax",
            record.len() as u64,
            record.as_bytes(),
        )
        .file("short")
    }

    fn ended(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        zipped(&self.0)
    }
}

fn zipped(bytes: &[u8]) -> Vec<u8> {
    zstd::encode_all(bytes, 1).unwrap()
}

fn one_file() -> Forged {
    Forged::default().file("actions.py")
}

/// What is wrong, a bundle that is so, and what is said of it.
type Case = (&'static str, Vec<u8>, &'static str);

fn bad_names() -> Vec<Case> {
    let named = |name: &str| Forged::default().file(name).ended();
    let long = |name: &str| Forged::default().pax("path", name).ended();
    let part = "has a part `.` or `..`";
    let empty = "has an empty part";
    let not_text = Forged::default().entry(EntryType::Regular, b"\xff", 1, b"x");
    vec![
        ("goes up", named("../outside"), part),
        ("goes up later", named("a/../../outside"), part),
        ("goes up in a long name", long("../outside"), part),
        ("is the folder", named("."), part),
        (
            "is absolute",
            named("/etc/x"),
            "\"/etc/x\": the name is absolute",
        ),
        ("has no name", named(""), empty),
        ("has an empty part", named("a//b"), empty),
        ("ends with a slash", named("a/"), empty),
        ("has a line end", named("a\nb"), "has a control character"),
        ("is not UTF-8", not_text.ended(), "the name is not UTF-8"),
        (
            "is too long",
            long(&"a/".repeat(700)),
            "longer than 1024 bytes",
        ),
        (
            "is too wide",
            long(&"x".repeat(300)),
            "longer than 255 bytes",
        ),
        ("is endless", long(&"x".repeat(100_000)), "longer than 1024"),
    ]
}

fn bad_headers() -> Vec<Case> {
    let set = |key, value| Forged::default().pax(key, value).ended();
    let nothing = Forged::default().entry(EntryType::XHeader, b"pax", 12, b"12 path=abc\n");
    let other = "a header that says something else";
    vec![
        ("sets a size", set("size", "99999999999"), other),
        ("sets a link", set("linkpath", "/etc/passwd"), other),
        ("names nothing", nothing.ended(), "a name without a file"),
    ]
}

fn bad_kinds() -> Vec<Case> {
    let kind = |kind| one_file().entry(kind, b"b", 0, b"").ended();
    let link = "\"b\" is a symbolic link: a bundle holds nothing but files";
    vec![
        ("is a link", kind(EntryType::Symlink), link),
        ("is a hard link", kind(EntryType::Link), "is a hard link"),
        ("is a device", kind(EntryType::Char), "is a device"),
        ("is a disk", kind(EntryType::Block), "is a device"),
        ("is a pipe", kind(EntryType::Fifo), "is a pipe"),
        ("is a folder", kind(EntryType::Directory), "is a folder"),
        ("is sparse", kind(EntryType::GNUSparse), "kind 'S'"),
        (
            "has a name of GNU",
            kind(EntryType::GNULongName),
            "kind 'L'",
        ),
        ("sets for all", kind(EntryType::XGlobalHeader), "kind 'g'"),
    ]
}

fn bad_orders() -> Vec<Case> {
    let twice = one_file().file("actions.py").ended();
    let disorder = one_file().file("aaa").ended();
    let both = Forged::default().file("a").file("a.b").file("a/b").ended();
    vec![
        (
            "comes twice",
            twice,
            "\"actions.py\" stands in the bundle twice",
        ),
        (
            "is in disorder",
            disorder,
            "\"aaa\" is not in the order of names",
        ),
        ("is two things", both, "\"a\" is both a file and a folder"),
    ]
}

fn bad_sizes() -> Vec<Case> {
    let declared = |bytes, content: &[u8]| {
        let forged = Forged::default().entry(EntryType::Regular, b"a", bytes, content);
        forged.ended()
    };
    let limit = 250 << 20;
    vec![
        (
            "declares too much",
            declared(limit + 1, b""),
            "limit 250 MB",
        ),
        ("declares a disk", declared(1 << 60, b""), "limit 250 MB"),
        ("declares all", declared(u64::MAX, b""), "not a bundle"),
        ("holds less", declared(limit, b""), "the bundle ends early"),
        ("holds more", declared(1, &[b'x'; 600]), "not a bundle"),
    ]
}

fn bad_ends() -> Vec<Case> {
    let whole = one_file().ended();
    let with = |rest: &[u8]| [&whole, rest].concat();
    let inside = zipped(&[&one_file().0, &[0; 1024][..], b"x"].concat());
    let cut = |end: usize| zipped(&one_file().0[..end]);
    let mut wrong_sum = one_file().0;
    wrong_sum[0] ^= 1;
    let mut wide_window = zstd::Encoder::new(Vec::new(), 1).unwrap();
    wide_window.window_log(27).unwrap();
    wide_window.write_all(&one_file().0).unwrap();
    let (early, on) = ("the bundle ends early", "the bundle goes on after its end");
    vec![
        ("has more", with(b"more"), on),
        ("has a second part", with(&whole), on),
        ("has more inside", inside, on),
        (
            "is cut in its packing",
            whole[..whole.len() - 4].to_vec(),
            early,
        ),
        ("is cut in a header", cut(300), "not a bundle"),
        ("is cut in a file", cut(512), early),
        ("is cut before its end", cut(1024), early),
        ("has a wrong sum", zipped(&wrong_sum), "not a bundle"),
        (
            "holds nothing",
            Forged::default().ended(),
            "the project has no files",
        ),
        ("is nothing", Vec::new(), early),
        ("is a zip", b"PK\x03\x04 and so on".to_vec(), "not a bundle"),
        ("is not packed", one_file().0, "not a bundle"),
        (
            "wants memory",
            wide_window.finish().unwrap(),
            "not a bundle",
        ),
    ]
}

#[test]
fn what_is_hostile_is_refused_with_one_clear_error_and_leaves_nothing() {
    let table = [
        bad_names(),
        bad_headers(),
        bad_kinds(),
        bad_orders(),
        bad_sizes(),
        bad_ends(),
    ];
    for (what, bundle, told) in table.concat() {
        let place = tempdir().unwrap();
        let error = unpack(&*bundle, &place.path().join("code")).expect_err(what);
        assert!(error.to_string().contains(told), "{what}: {error}");
        assert!(!error.is_of_disk(), "{what}");
        assert!(
            !error.to_string().contains('\n') || told.contains("limit"),
            "{what}: {error}"
        );
        assert_eq!(tree(place.path()), [], "{what}");
    }
}

/// 400 bytes for each MB.
#[test]
fn a_bomb_is_given_up_at_the_limit() {
    let mut archive = Vec::new();
    let mut packing = zstd::Encoder::new(&mut archive, 1).unwrap();
    let zeros = vec![0; 1 << 20];
    for name in b"abc" {
        let entry = Forged::default().entry(EntryType::Regular, &[*name], 100 << 20, b"");
        packing.write_all(&entry.0).unwrap();
        for _ in 0..100 {
            packing.write_all(&zeros).unwrap();
        }
    }
    packing.finish().unwrap();
    assert!(archive.len() < 1 << 20);
    let place = tempdir().unwrap();
    let error = unpack(&*archive, &place.path().join("code")).unwrap_err();
    assert!(
        matches!(&error, BundleError::TooLarge { bytes, .. } if *bytes == 300 << 20),
        "{error}"
    );
    assert_eq!(tree(place.path()), []);
}

/// Zeros after the end of the archive are no way around the limit.
#[test]
fn endless_zeros_are_given_up() {
    let mut archive = Vec::new();
    let mut packing = zstd::Encoder::new(&mut archive, 1).unwrap();
    packing.write_all(&one_file().0).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..700 {
        packing.write_all(&zeros).unwrap();
    }
    packing.finish().unwrap();
    let place = tempdir().unwrap();
    let error = unpack(&*archive, &place.path().join("code")).unwrap_err();
    assert!(matches!(error, BundleError::GoesOn), "{error}");
}

#[test]
fn too_many_files_are_given_up() {
    let mut forged = Forged::default();
    for number in 0..=100_000 {
        forged = forged.entry(
            EntryType::Regular,
            format!("{number:06}").as_bytes(),
            0,
            b"",
        );
    }
    let place = place_in_memory();
    let error = unpack(&*forged.ended(), &place.path().join("code")).unwrap_err();
    assert!(matches!(error, BundleError::TooManyFiles), "{error}");
    assert_eq!(tree(place.path()), []);
}

#[test]
fn a_folder_that_is_there_is_left_alone() {
    let place = tempdir().unwrap();
    fs::write(place.path().join("kept"), "x").unwrap();
    let error = unpack(&*one_file().ended(), place.path()).unwrap_err();
    assert!(error.is_of_disk(), "{error}");
    assert_eq!(tree(place.path()).len(), 1);
}

/// Archives of other programs have longer ends.
#[test]
fn more_zeros_at_the_end_are_fine() {
    let mut archive = one_file().0;
    archive.extend([0; 10_240]);
    let place = tempdir().unwrap();
    unpack(&*zipped(&archive), &place.path().join("code")).unwrap();
    assert_eq!(
        tree(&place.path().join("code")),
        [("actions.py".to_owned(), 0o644)]
    );
}

/// Where there is such a place, files are made there much faster.
fn place_in_memory() -> TempDir {
    let place = tempfile::tempdir_in("/dev/shm");
    place.or_else(|_| tempdir()).unwrap()
}

fn real_bundle() -> (Vec<u8>, Vec<u8>) {
    let root = tempdir().unwrap();
    let long = format!("{}/x", vec!["folder"; 40].join("/"));
    write(
        root.path(),
        &[
            ("a.py", "x = 1\n"),
            ("b/c.py", &"text ".repeat(400)),
            (&long, "y"),
        ],
    );
    let bundle = packed(root.path()).unwrap().0;
    let archive = zstd::decode_all(&*bundle).unwrap();
    (bundle, archive)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a bundle is changed to, nothing but its own folder is written to, and a refusal leaves none.
    #[test]
    fn changed_bundles_stay_where_they_belong(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        inside in any::<bool>(),
        cut in proptest::option::of(any::<proptest::sample::Index>()),
    ) {
        let (bundle, archive) = real_bundle();
        let mut bytes = if inside { archive } else { bundle };
        for (place, byte) in changes {
            let index = place.index(bytes.len());
            bytes[index] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if inside {
            bytes = zipped(&bytes);
        }
        let place = place_in_memory();
        let into = place.path().join("folder/code");
        fs::create_dir(place.path().join("folder")).unwrap();
        let refused = unpack(&*bytes, &into).is_err();
        prop_assert_eq!(refused, !into.exists());
        let outside = tree(place.path());
        prop_assert!(outside.iter().all(|(name, _)| name == "folder" || name.starts_with("folder/code")), "{:?}", outside);
        if !refused {
            prop_assert!(tree(&into).iter().all(|(name, mode)| matches!(mode, 0o644 | 0o755) && !into.join(name).is_symlink()));
        }
    }
}
