//! The frame decoder against what no honest peer sends: the seeds of the fuzzer, and messages that were damaged at
//! random. `make soak` goes on from here with the fuzzer itself.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod feed;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use peak_alloc::PeakAlloc;
use proptest::prelude::*;
use ziet_core::wire::{FromExecutor, FromZygote};

use feed::feed;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// One test at a time: memory is counted for the whole process.
static ALONE: Mutex<()> = Mutex::new(());

/// What a peer may make the program keep for each byte that it sends: elements of one byte are kept as values of 32, in
/// lists that grow by doubling, and `feed` looks at each stream several times.
const BYTES_PER_BYTE: usize = 400;

/// For a list that is announced serde keeps room of at most 1 MB before its elements come, at each of 64 levels.
const ANNOUNCED_BYTES: usize = 68 * 1024 * 1024;

type Feed = fn(&[u8]);
const GROUPS: [(&str, Feed); 2] = [
    ("from_executor", feed::<FromExecutor>),
    ("from_zygote", feed::<FromZygote>),
];

#[test]
fn no_seed_harms_or_takes_memory_out_of_all_proportion() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for (group, feed) in GROUPS {
        let seeds = seeds(group);
        assert!(seeds.len() > 30, "{group} has no seeds");
        for seed in seeds {
            let bytes = read(&seed);
            MEMORY.reset_peak_usage();
            let before = MEMORY.current_usage();
            feed(&bytes);
            let more = MEMORY.peak_usage() - before;
            assert!(
                more < ANNOUNCED_BYTES + BYTES_PER_BYTE * bytes.len(),
                "{} of {} bytes took {more}",
                seed.display(),
                bytes.len(),
            );
        }
    }
}

/// One change to a message: each field names a place or a value, and what does not fit is taken modulo.
#[derive(Clone, Debug)]
enum Damage {
    Set(usize, u8),
    Insert(usize, u8),
    Cut(usize),
    Repeat(usize),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Set(at, byte)),
        (any::<usize>(), any::<u8>()).prop_map(|(at, byte)| Damage::Insert(at, byte)),
        any::<usize>().prop_map(Damage::Cut),
        any::<usize>().prop_map(Damage::Repeat),
    ]
}

fn damaged(mut bytes: Vec<u8>, damages: &[Damage]) -> Vec<u8> {
    for damage in damages {
        let length = bytes.len();
        match *damage {
            Damage::Set(at, byte) if length > 0 => bytes[at % length] = byte,
            Damage::Set(..) => {}
            Damage::Insert(at, byte) => bytes.insert(at % (length + 1), byte),
            Damage::Cut(at) => bytes.truncate(at % (length + 1)),
            Damage::Repeat(at) => bytes.extend_from_within(at % (length + 1)..),
        }
    }
    bytes
}

proptest! {
    #[test]
    fn damaged_messages_never_harm(seed: prop::sample::Index, damages in prop::collection::vec(damage(), 1..4)) {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        for (group, feed) in GROUPS {
            feed(&damaged(read(seed.get::<PathBuf>(&seeds(group))), &damages));
        }
    }

    #[test]
    fn random_bytes_never_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        for (_, feed) in GROUPS {
            feed(&bytes);
        }
    }
}

/// What the fuzzer begins with: whole messages, and what was thought of that may go wrong.
fn seeds(group: &str) -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [here.join("tests/vectors"), here.join("../../fuzz/seeds")];
    let files = folders
        .iter()
        .flat_map(|folder| std::fs::read_dir(folder.join(group)).unwrap())
        .map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = files
        .filter(|file| file.extension().is_none_or(|kind| kind == "msgpack"))
        .collect();
    files.sort();
    files
}

fn read(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap()
}
