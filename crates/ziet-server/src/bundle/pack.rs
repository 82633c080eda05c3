//! Looks through a project and writes its bundle.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tar::{Builder, EntryType, Header};
use ziet_core::limits::{BUNDLE_BYTES, BUNDLE_FILES};

use super::digest::{Digest, Digesting};
use super::error::{BundleError, Link, Size, largest_of};
use super::left_out::{LeftOut, Patterns, Reason, by_first_line, by_name, by_what_is_in, is_gone};
use super::name;

/// A level at which packing is faster than most networks.
const LEVEL: i32 = 3;

/// What is, or would be, in a bundle.
#[derive(Debug)]
pub struct Packed {
    pub digest: Digest,
    /// In the order of their names.
    pub files: Vec<PackedFile>,
    pub left_out: Vec<LeftOut>,
    /// Of all files, unpacked.
    pub bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PackedFile {
    /// From the project's folder on, with `/` between its parts.
    pub name: String,
    pub bytes: u64,
    pub executable: bool,
}

/// Writes the bundle of the project in the folder `root`, and says what is in it. `progress` is told how many bytes of
/// files have been read so far.
///
/// # Errors
/// When the project cannot be packed, or something cannot be read or written.
pub fn pack(
    root: &Path,
    out: impl Write,
    progress: &mut dyn FnMut(u64),
) -> Result<Packed, BundleError> {
    let mut archive = Builder::new(zstd::Encoder::new(out, LEVEL)?);
    let packed = read(root, progress, |file, content| {
        append(&mut archive, file, content)
    })?;
    archive.into_inner()?.finish()?.flush()?;
    Ok(packed)
}

/// What [`pack`] would say, without writing anything.
///
/// # Errors
/// As those of [`pack`].
pub fn survey(root: &Path, progress: &mut dyn FnMut(u64)) -> Result<Packed, BundleError> {
    read(root, progress, |_, content| {
        io::copy(content, &mut io::sink()).map(drop)
    })
}

/// Reads every file of the project through `each`, in the order of their names.
fn read(
    root: &Path,
    progress: &mut dyn FnMut(u64),
    mut each: impl FnMut(&PackedFile, &mut dyn Read) -> io::Result<()>,
) -> Result<Packed, BundleError> {
    let Found {
        mut files,
        left_out,
        ..
    } = Found::below(root)?;
    files.sort_by(|one, other| one.file.name.cmp(&other.file.name));
    let mut digesting = Digesting::default();
    let mut done = 0;
    for Source { file, path } in &files {
        let mut content = Content {
            from: fs_err::File::open(path)?.take(file.bytes + 1),
            hash: Sha256::new(),
            read: 0,
            before: done,
            progress,
        };
        each(file, &mut content)?;
        if content.read != file.bytes {
            return Err(BundleError::Changed(file.name.clone()));
        }
        digesting.add(&file.name, file.executable, file.bytes, content.hash);
        done += file.bytes;
    }
    Ok(Packed {
        digest: digesting.finish(),
        files: files.into_iter().map(|source| source.file).collect(),
        left_out,
        bytes: done,
    })
}

fn append(
    archive: &mut Builder<impl Write>,
    file: &PackedFile,
    content: &mut dyn Read,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_entry_type(EntryType::Regular);
    header.set_mode(if file.executable { 0o755 } else { 0o644 });
    header.set_size(file.bytes);
    if header.set_path(&file.name).is_err() {
        // Too long for the header: then it stands in one before.
        archive.append_pax_extensions([("path", file.name.as_bytes())])?;
        header.set_path("long")?;
    }
    header.set_cksum();
    // One byte more than it has said is seen, and told as a change; it must not be written.
    let bytes = file.bytes;
    archive.append(&header, content.take(bytes))?;
    io::copy(content, &mut io::sink()).map(drop)
}

/// A file's content, hashed and counted as it is read.
struct Content<'a> {
    from: io::Take<fs_err::File>,
    hash: Sha256,
    read: u64,
    before: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.read += count as u64;
        (self.progress)(self.before + self.read);
        Ok(count)
    }
}

struct Source {
    file: PackedFile,
    /// Where its content is: elsewhere than its name says, if that is a link.
    path: PathBuf,
}

/// What is found in a project's folder.
struct Found<'a> {
    root: &'a Path,
    /// Without links, for what links lead to.
    real_root: PathBuf,
    patterns: Patterns,
    files: Vec<Source>,
    left_out: Vec<LeftOut>,
    links: Vec<Link>,
    bytes: u64,
}

impl<'a> Found<'a> {
    fn below(root: &'a Path) -> Result<Self, BundleError> {
        let mut found = Self {
            root,
            real_root: fs_err::canonicalize(root)?,
            patterns: Patterns::above(root)?,
            files: Vec::new(),
            left_out: Vec::new(),
            links: Vec::new(),
            bytes: 0,
        };
        found.enter(root, "")?;
        if !found.links.is_empty() {
            return Err(BundleError::Links(found.links));
        }
        if found.bytes > BUNDLE_BYTES {
            let sizes = found.files.into_iter().map(|Source { file, .. }| Size {
                name: file.name,
                bytes: file.bytes,
            });
            return Err(BundleError::TooLarge {
                bytes: found.bytes,
                largest: largest_of(sizes),
            });
        }
        if found.files.is_empty() {
            return Err(BundleError::Empty);
        }
        Ok(found)
    }

    /// Takes up what is in a folder; `within` is its name with a slash, or nothing for the project's own.
    fn enter(&mut self, folder: &Path, within: &str) -> Result<(), BundleError> {
        let mut entries: Vec<_> = fs_err::read_dir(folder)?.collect::<Result<_, _>>()?;
        entries.sort_by_key(fs_err::DirEntry::file_name);
        self.patterns.enter(folder, self.root)?;
        for entry in entries {
            match self.take(&entry, within) {
                Err(BundleError::Disk(error)) if is_gone(&error) => {}
                taken => taken?,
            }
        }
        self.patterns.leave();
        Ok(())
    }

    fn take(&mut self, entry: &fs_err::DirEntry, within: &str) -> Result<(), BundleError> {
        let (path, kind) = (entry.path(), entry.file_type()?);
        let last = entry.file_name().to_string_lossy().into_owned();
        let name = format!("{within}{last}");
        if let Some(reason) = self.reason(&path, &last, kind.is_dir()) {
            let slash = if kind.is_dir() { "/" } else { "" };
            self.left_out.push(LeftOut {
                name: format!("{name}{slash}"),
                reason,
            });
            return Ok(());
        }
        let fault = match entry.file_name().to_str() {
            None => Some("is not UTF-8"),
            Some(_) => name::fault(&name),
        };
        if let Some(fault) = fault {
            return Err(BundleError::Name { name, fault });
        }
        if kind.is_dir() {
            return self.enter(&path, &format!("{name}/"));
        }
        if kind.is_symlink() {
            return self.follow(name, &path);
        }
        if !kind.is_file() {
            self.left_out.push(LeftOut {
                name,
                reason: Reason::Special,
            });
            return Ok(());
        }
        self.add(name, path)
    }

    fn reason(&self, path: &Path, last: &str, is_folder: bool) -> Option<Reason> {
        by_name(last, is_folder)
            .or_else(|| self.patterns.reason(path, is_folder, self.root))
            .or_else(|| by_what_is_in(path).filter(|_| is_folder))
    }

    fn follow(&mut self, name: String, path: &Path) -> Result<(), BundleError> {
        let why = match fs_err::canonicalize(path) {
            Err(_) => "leads nowhere",
            Ok(target) => match target.strip_prefix(&self.real_root) {
                Err(_) => "leads out of the project",
                Ok(_) if target.is_dir() => "leads to a folder",
                Ok(inside) if target.is_file() => {
                    // What is left out does not come in by another name.
                    let folders = inside.iter().count().saturating_sub(1);
                    let parts = inside.iter().enumerate();
                    let reason = parts
                        .map(|(index, part)| by_name(&part.to_string_lossy(), index < folders));
                    if let Some(reason) = reason.flatten().next() {
                        self.left_out.push(LeftOut { name, reason });
                        return Ok(());
                    }
                    return self.add(name, target);
                }
                Ok(_) => "leads to something that is no file",
            },
        };
        self.links.push(Link { name, why });
        Ok(())
    }

    fn add(&mut self, name: String, path: PathBuf) -> Result<(), BundleError> {
        if let Some(reason) = by_first_line(&path)? {
            self.left_out.push(LeftOut { name, reason });
            return Ok(());
        }
        if self.files.len() == BUNDLE_FILES {
            return Err(BundleError::TooManyFiles);
        }
        let about = fs_err::metadata(&path)?;
        self.bytes += about.len();
        let file = PackedFile {
            name,
            bytes: about.len(),
            executable: about.permissions().mode() & 0o111 != 0,
        };
        self.files.push(Source { file, path });
        Ok(())
    }
}
