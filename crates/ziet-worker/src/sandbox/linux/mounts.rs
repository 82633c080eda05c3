//! A root of its own for what is shut in, made of what is allowed: read-only, but for the scratch folder.
//!
//! Unlike Landlock it also hides what is not allowed, gives memory to share at `/dev/shm`, and makes reachable what lies
//! below folders that another user cannot enter.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use fs_err::os::unix::fs::symlink;
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive,
    mount_change, mount_remount, unmount,
};
use rustix::process::{chdir, pivot_root};

use super::allowed::{DEVICES, SHARED_MEMORY};
use super::plan::Plan;

/// Links that are followed before a path is taken for a circle, as the kernel does.
const LINKS: usize = 40;

/// Moves this process, which has a namespace of mounts for itself, into the new root. `own_processes` is whether it also
/// has one of processes, which `/proc` then shows.
///
/// # Errors
/// With what the system refused; then the process is of no use any more.
pub(super) fn enter(plan: &Plan, own_processes: bool) -> Result<(), String> {
    let root = NewRoot::make(plan.root()).map_err(|error| told("a new root", &error))?;
    root.show(&plan.readable)?;
    root.fill(plan, own_processes)?;
    let moved = chdir(&root.folder)
        .and_then(|()| pivot_root(".", "."))
        .and_then(|()| unmount(".", UnmountFlags::DETACH))
        .and_then(|()| chdir("/"));
    moved.map_err(|error| told("pivot_root", &error.into()))?;
    let writable: Vec<PathBuf> = plan
        .written()
        .chain([PathBuf::from(SHARED_MEMORY)])
        .collect();
    close(&writable, own_processes).map_err(|error| told("read-only mounts", &error))
}

fn told(what: impl std::fmt::Display, error: &io::Error) -> String {
    format!("{what}: {error}")
}

struct NewRoot {
    folder: PathBuf,
}

impl NewRoot {
    fn make(folder: PathBuf) -> io::Result<Self> {
        // What is mounted from here on is nobody else's business.
        mount_change(
            "/",
            MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
        )?;
        tmpfs(&folder, c"mode=755,size=4m")?;
        Ok(Self { folder })
    }

    /// Where something is that will be at `path`.
    fn at(&self, path: &Path) -> PathBuf {
        self.folder.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Shows files and folders at their own paths, and every link that leads there; what is missing is passed over.
    fn show(&self, paths: &[PathBuf]) -> Result<(), String> {
        let mut links = Vec::new();
        let mut real: Vec<PathBuf> = paths
            .iter()
            .filter_map(|path| follow(path, &mut links))
            .collect();
        // A folder comes before what lies in it, which is shown with it.
        real.sort();
        real.dedup_by(|path, above| path.starts_with(above));
        for path in &real {
            self.place(path)?;
        }
        for (link, target) in links {
            let place = self.at(&link);
            let folder = place.parent().unwrap_or(&self.folder);
            if fs_err::symlink_metadata(&place).is_err() {
                fs_err::create_dir_all(folder)
                    .and_then(|()| symlink(&target, &place))
                    .map_err(|error| told(link.display(), &error))?;
            }
        }
        Ok(())
    }

    fn place(&self, path: &Path) -> Result<(), String> {
        self.bind(path)
            .map_err(|error| told(path.display(), &error))
    }

    fn bind(&self, path: &Path) -> io::Result<()> {
        let place = self.at(path);
        if path.is_dir() {
            fs_err::create_dir_all(&place)?;
            return Ok(mount_bind_recursive(path, &place)?);
        }
        if let Some(folder) = place.parent() {
            fs_err::create_dir_all(folder)?;
        }
        if !place.exists() {
            fs_err::File::create(&place)?;
        }
        Ok(mount_bind(path, &place)?)
    }

    /// Everything that is not just allowed to be read.
    fn fill(&self, plan: &Plan, own_processes: bool) -> Result<(), String> {
        for path in DEVICES.iter().map(Path::new) {
            self.place(path)?;
        }
        for path in plan.written().chain(plan.socket.clone()) {
            self.place(&path)?;
        }
        if plan.hidden.is_dir() {
            tmpfs(&self.at(&plan.hidden), c"mode=0,size=4k")
                .map_err(|error| told(plan.hidden.display(), &error))?;
        }
        let link =
            |name: &str, target: &str| symlink(target, self.at(Path::new("/dev")).join(name));
        let shared = self.at(Path::new(SHARED_MEMORY));
        link("fd", "/proc/self/fd")
            .and_then(|()| link("stdin", "/proc/self/fd/0"))
            .and_then(|()| link("stdout", "/proc/self/fd/1"))
            .and_then(|()| link("stderr", "/proc/self/fd/2"))
            .and_then(|()| fs_err::create_dir(&shared))
            .and_then(|()| tmpfs(&shared, c"mode=1777,size=64m"))
            .map_err(|error| told("/dev", &error))?;
        if !own_processes {
            return self.place(Path::new("/proc"));
        }
        let processes = self.at(Path::new("/proc"));
        let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        fs_err::create_dir(&processes)
            .and_then(|()| Ok(mount("proc", &processes, "proc", flags, None)?))
            .map_err(|error| told("/proc", &error))
    }
}

fn tmpfs(folder: &Path, options: &std::ffi::CStr) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    Ok(mount("tmpfs", folder, "tmpfs", flags, options)?)
}

/// The file or folder itself that a path leads to, if there is one; `links` gets those on the way, with their targets.
fn follow(path: &Path, links: &mut Vec<(PathBuf, PathBuf)>) -> Option<PathBuf> {
    let mut real = PathBuf::from("/");
    let mut rest = parts(path);
    let mut followed = 0;
    while let Some(part) = rest.pop() {
        if part == ".." {
            real.pop();
            continue;
        }
        let next = real.join(&part);
        if !fs_err::symlink_metadata(&next).ok()?.is_symlink() {
            real = next;
            continue;
        }
        followed += 1;
        let target = fs_err::read_link(&next)
            .ok()
            .filter(|_| followed <= LINKS)?;
        rest.extend(parts(&target));
        if target.is_absolute() {
            real = PathBuf::from("/");
        }
        links.push((next, target));
    }
    Some(real)
}

/// The names in a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let names = path.components().rev().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    names.collect()
}

/// Takes from every mount what may not be done there; what it already does without stays so.
fn close(writable: &[PathBuf], own_processes: bool) -> io::Result<()> {
    for line in fs_err::read_to_string("/proc/self/mountinfo")?.lines() {
        let mut fields = line.split(' ').skip(4);
        let (Some(point), Some(options)) = (fields.next(), fields.next()) else {
            continue;
        };
        let point = unescaped(point);
        if own_processes && point == Path::new("/proc") {
            continue;
        }
        let mut flags = MountFlags::BIND | MountFlags::NOSUID;
        if options.split(',').any(|option| option == "noexec") {
            flags |= MountFlags::NOEXEC;
        }
        let is_device = DEVICES.iter().any(|device| point == Path::new(device));
        if !is_device || options.split(',').any(|option| option == "nodev") {
            flags |= MountFlags::NODEV;
        }
        if !writable.contains(&point) {
            flags |= MountFlags::RDONLY;
        }
        mount_remount(&point, flags, "")?;
    }
    Ok(())
}

/// Spaces and the like stand there as `\040`.
fn unescaped(field: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field.as_bytes();
    while let [first, others @ ..] = rest {
        let code = others
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &others[3..] } else { others };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_mounts_are_read_as_they_are() {
        assert_eq!(unescaped("/a"), Path::new("/a"));
        assert_eq!(
            unescaped("/my\\040project\\134x"),
            Path::new("/my project\\x")
        );
        assert_eq!(unescaped("/ends\\04"), Path::new("/ends\\04"));
        assert_eq!(unescaped("/é"), Path::new("/é"));
    }

    #[test]
    fn links_are_followed_to_what_they_stand_for() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| fs_err::canonicalize(folder.path()).unwrap().join(name);
        fs_err::create_dir_all(at("a/b")).unwrap();
        symlink("../a", at("a/again")).unwrap();
        symlink(at("a"), at("c")).unwrap();
        symlink("round", at("round")).unwrap();
        let mut links = Vec::new();

        let real = follow(&at("c/again/b"), &mut links);

        assert_eq!(real, Some(at("a/b")));
        let expected = [(at("c"), at("a")), (at("a/again"), PathBuf::from("../a"))];
        assert_eq!(links, expected);
        assert_eq!(follow(&at("round"), &mut Vec::new()), None);
        assert_eq!(follow(&at("none"), &mut Vec::new()), None);
    }

    #[test]
    fn a_path_is_taken_apart_from_its_end() {
        assert_eq!(parts(Path::new("/a/../b")), ["b", "..", "a"]);
        assert_eq!(parts(Path::new("../b/.")), ["b", ".."]);
    }
}
