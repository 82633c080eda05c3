//! Takes a bundle apart that anybody may have made: whatever is not exactly what [`super::pack()`] writes is refused, and
//! nothing is written but regular files in one new folder.

use std::collections::HashSet;
use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Take, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use fs_err::os::unix::fs::OpenOptionsExt;
use sha2::{Digest as _, Sha256};
use tar::{Archive, Entry, EntryType, PaxExtensions};
use ziet_core::limits::{BUNDLE_BYTES, BUNDLE_FILES};

use super::digest::{Digest, Digesting};
use super::error::{BundleError, Size, largest_of};
use super::name;

/// The unit of which tar archives consist.
const BLOCK: usize = 512;

/// A name that stands in front of its file, with what belongs to it.
const LONG_NAME: u64 = 2048;

/// All that an archive may have besides the contents of files: for each a header, one with its name, and padding.
const OVERHEAD: u64 = (BUNDLE_FILES as u64) * (6 * BLOCK as u64);

/// Bytes that the decoder may look back, as a power of two: what [`super::pack()`] uses needs 2 MB.
const WINDOW: u32 = 23;

/// Unpacks a bundle into a folder that does not exist yet, checks all of it, and says what it is known by. Where it is
/// refused, nothing of the folder is left.
///
/// # Errors
/// With what is wrong with the bundle, or with the disk.
pub fn unpack(archive: impl Read, into: &Path) -> Result<Digest, BundleError> {
    fs_err::create_dir(into)?;
    let mut unpacking = Unpacking {
        into,
        folders: HashSet::new(),
        files: Vec::new(),
        left: BUNDLE_BYTES,
        digesting: Digesting::default(),
        buffer: vec![0; 64 * 1024],
    };
    let done = unpacking.all(archive).and_then(|()| {
        fs_err::set_permissions(into, Permissions::from_mode(0o755))?;
        Ok(())
    });
    if let Err(error) = done {
        // What is left would be removed with the next bundle that is unpacked there; the error counts more.
        let _ = fs_err::remove_dir_all(into);
        return Err(error);
    }
    Ok(unpacking.digesting.finish())
}

struct Unpacking<'a> {
    into: &'a Path,
    folders: HashSet<String>,
    /// In the order of their names.
    files: Vec<Size>,
    /// Bytes that files may still have.
    left: u64,
    digesting: Digesting,
    buffer: Vec<u8>,
}

impl Unpacking<'_> {
    fn all(&mut self, archive: impl Read) -> Result<(), BundleError> {
        // The decoder must not read ahead what comes after its end, which would not be seen then.
        let mut packed = BufReader::new(archive);
        let mut decoder = zstd::Decoder::with_buffer(&mut packed)
            .map_err(unread)?
            .single_frame();
        decoder.window_log_max(WINDOW).map_err(unread)?;
        let mut archive = Archive::new(decoder.take(BUNDLE_BYTES + OVERHEAD));
        self.entries(&mut archive)?;
        self.end(archive.into_inner())?;
        match packed.fill_buf().map_err(unread)? {
            [] => Ok(()),
            _ => Err(BundleError::GoesOn),
        }
    }

    fn entries(&mut self, archive: &mut Archive<impl Read>) -> Result<(), BundleError> {
        let mut long_name = None;
        for entry in archive.entries().map_err(unread)?.raw(true) {
            let mut entry = entry.map_err(unread)?;
            if entry.header().entry_type() == EntryType::XHeader && long_name.is_none() {
                long_name = Some(read_name(&mut entry)?);
                continue;
            }
            let in_header = entry.header().path_bytes();
            let name = long_name.take().unwrap_or_else(|| in_header.into_owned());
            self.file(&mut entry, name)?;
        }
        match long_name {
            None => Ok(()),
            Some(_) => Err(BundleError::Archive("a name without a file".to_owned())),
        }
    }

    fn file(&mut self, entry: &mut Entry<'_, impl Read>, name: Vec<u8>) -> Result<(), BundleError> {
        let name = String::from_utf8(name).map_err(|error| BundleError::Name {
            name: String::from_utf8_lossy(error.as_bytes()).into_owned(),
            fault: "is not UTF-8",
        })?;
        if let Some(kind) = unwanted(entry.header().entry_type()) {
            return Err(BundleError::Kind { name, kind });
        }
        if let Some(fault) = name::fault(&name) {
            return Err(BundleError::Name { name, fault });
        }
        match self.files.last().map(|last| last.name.cmp(&name)) {
            Some(std::cmp::Ordering::Equal) => return Err(BundleError::Twice(name)),
            Some(std::cmp::Ordering::Greater) => return Err(BundleError::Order(name)),
            Some(std::cmp::Ordering::Less) | None => {}
        }
        if self.files.len() == BUNDLE_FILES {
            return Err(BundleError::TooManyFiles);
        }
        let bytes = entry.size();
        self.files.push(Size {
            name: name.clone(),
            bytes,
        });
        // What is declared is refused before anything of it is read.
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| self.too_large())?;
        self.write(entry, &name, bytes)
    }

    fn too_large(&self) -> BundleError {
        let sizes = self.files.iter().map(|file| file.bytes);
        BundleError::TooLarge {
            bytes: sizes.fold(0, u64::saturating_add),
            largest: largest_of(self.files.iter().cloned()),
        }
    }

    fn write(
        &mut self,
        entry: &mut Entry<'_, impl Read>,
        name: &str,
        bytes: u64,
    ) -> Result<(), BundleError> {
        self.make_folders(name)?;
        let executable = entry.header().mode().map_err(unread)? & 0o111 != 0;
        let path = self.into.join(name);
        let mut file = fs_err::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let mut hash = Sha256::new();
        let mut missing = bytes;
        while missing > 0 {
            let count = match entry.read(&mut self.buffer) {
                Ok(0) => return Err(BundleError::CutOff),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(unread(error)),
            };
            hash.update(&self.buffer[..count]);
            file.write_all(&self.buffer[..count])?;
            missing = missing.saturating_sub(count as u64);
        }
        // Whoever executes it is another user.
        let mode = if executable { 0o755 } else { 0o644 };
        file.set_permissions(Permissions::from_mode(mode))?;
        self.digesting.add(name, executable, bytes, hash);
        Ok(())
    }

    fn make_folders(&mut self, name: &str) -> Result<(), BundleError> {
        for (end, _) in name.match_indices('/') {
            let folder = &name[..end];
            if self.folders.contains(folder) {
                continue;
            }
            // In their order, a file's name comes before those of files below a folder of that name.
            if self
                .files
                .binary_search_by(|file| file.name.as_str().cmp(folder))
                .is_ok()
            {
                return Err(BundleError::FileAndFolder(folder.to_owned()));
            }
            let path = self.into.join(folder);
            fs_err::create_dir(&path)?;
            fs_err::set_permissions(&path, Permissions::from_mode(0o755))?;
            self.folders.insert(folder.to_owned());
        }
        Ok(())
    }

    /// After the last file come the blocks of zeros that end an archive, and then nothing.
    fn end(&mut self, mut rest: Take<impl Read>) -> Result<(), BundleError> {
        let mut zeros = 0;
        loop {
            match rest.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) if self.buffer[..count].iter().all(|byte| *byte == 0) => zeros += count,
                Ok(_) => return Err(BundleError::GoesOn),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(unread(error)),
            }
        }
        if rest.limit() == 0 {
            return Err(BundleError::GoesOn);
        }
        // The first of the two has been read as the end of the list.
        if zeros < BLOCK {
            return Err(BundleError::CutOff);
        }
        if self.files.is_empty() {
            return Err(BundleError::Empty);
        }
        Ok(())
    }
}

/// What stands in front of a file whose name is too long for its header: that name, and nothing else.
fn read_name(entry: &mut Entry<'_, impl Read>) -> Result<Vec<u8>, BundleError> {
    let wrong = || BundleError::Archive("a header that says something else than a name".to_owned());
    if entry.size() > LONG_NAME {
        return Err(BundleError::Name {
            name: "…".to_owned(),
            fault: "is longer than 1024 bytes",
        });
    }
    let mut text = Vec::new();
    entry.read_to_end(&mut text).map_err(unread)?;
    let mut fields = PaxExtensions::new(&text);
    let field = fields.next().and_then(Result::ok).ok_or_else(wrong)?;
    if field.key_bytes() != b"path" || fields.next().is_some() {
        return Err(wrong());
    }
    Ok(field.value_bytes().to_vec())
}

/// What something is that does not belong into a bundle; None of a file.
fn unwanted(kind: EntryType) -> Option<String> {
    let text = match kind {
        EntryType::Regular => return None,
        EntryType::Symlink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a pipe",
        EntryType::Directory => "a folder",
        other => return Some(format!("of the kind {:?}", char::from(other.as_byte()))),
    };
    Some(text.to_owned())
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "it is what errors are mapped with"
)]
fn unread(error: io::Error) -> BundleError {
    if error.kind() == ErrorKind::UnexpectedEof {
        return BundleError::CutOff;
    }
    BundleError::Archive(error.to_string())
}
