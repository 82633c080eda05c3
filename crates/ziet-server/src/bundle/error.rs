//! What is wrong with a project that is to be packed, or with a bundle that somebody has sent.

use std::fmt::{self, Display};
use std::io;

use ziet_core::limits::{BUNDLE_BYTES, BUNDLE_FILES, size_text};

/// How many links and files an error names.
const NAMED: usize = 10;

#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Nothing is wrong with the bundle: this machine's files could not be read or written.
    #[error(transparent)]
    Disk(#[from] io::Error),

    #[error("{0}: not a pattern of ignored files")]
    Pattern(String),
    #[error("{}; replace a link by what it leads to, or name it in .zietignore", listed(.0))]
    Links(Vec<Link>),
    #[error("{0}: the file was changed while it was read; try again")]
    Changed(String),
    #[error("the project has no files that could be packed")]
    Empty,

    #[error("{name:?}: the name {fault}")]
    Name { name: String, fault: &'static str },
    #[error("more than {BUNDLE_FILES} files: name in .zietignore what is not part of the project")]
    TooManyFiles,
    #[error("{}{}", excess(*.bytes), named(.largest))]
    TooLarge { bytes: u64, largest: Vec<Size> },

    #[error("not a bundle: {0}")]
    Archive(String),
    #[error("the bundle ends early: it was cut off")]
    CutOff,
    #[error("the bundle goes on after its end")]
    GoesOn,
    #[error("{name:?} is {kind}: a bundle holds nothing but files")]
    Kind { name: String, kind: String },
    #[error("{0:?} stands in the bundle twice")]
    Twice(String),
    #[error("{0:?} is both a file and a folder in the bundle")]
    FileAndFolder(String),
    #[error("{0:?} is not in the order of names")]
    Order(String),
}

impl BundleError {
    /// Whether it is about this machine rather than about what was packed or sent.
    pub fn is_of_disk(&self) -> bool {
        matches!(self, Self::Disk(_))
    }
}

/// A symbolic link that cannot be followed.
#[derive(Debug)]
pub struct Link {
    pub name: String,
    pub why: &'static str,
}

/// How large a file is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Size {
    pub name: String,
    pub bytes: u64,
}

impl Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the link {:?} {}", self.name, self.why)
    }
}

fn listed(links: &[Link]) -> String {
    let named: Vec<String> = links.iter().take(NAMED).map(Link::to_string).collect();
    let more = links.len() - named.len();
    let more = if more > 0 {
        format!(", and {more} more")
    } else {
        String::new()
    };
    format!("{}{more}", named.join(", "))
}

fn size(bytes: u64) -> String {
    size_text(
        usize::try_from(bytes).unwrap_or(usize::MAX),
        usize::try_from(BUNDLE_BYTES).unwrap_or(usize::MAX),
    )
}

fn excess(bytes: u64) -> String {
    format!(
        "the files are {}, limit {} MB",
        size(bytes),
        BUNDLE_BYTES >> 20
    )
}

fn named(files: &[Size]) -> String {
    let named = files
        .iter()
        .map(|file| format!("\n  {}  {}", size(file.bytes), file.name));
    let named: String = named.collect();
    if named.is_empty() {
        return named;
    }
    format!("; the largest (name in .zietignore what actions do not need):{named}")
}

/// The largest of some files, the largest first.
pub(super) fn largest_of(files: impl Iterator<Item = Size>) -> Vec<Size> {
    let mut files: Vec<Size> = files.collect();
    files.sort_by(|one, other| {
        other
            .bytes
            .cmp(&one.bytes)
            .then_with(|| one.name.cmp(&other.name))
    });
    files.truncate(NAMED);
    files
}
