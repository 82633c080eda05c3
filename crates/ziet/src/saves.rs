//! Tells which files of a project are saved. It knows what editors and tools leave beside them, and nothing of runs.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use notify::event::{AccessKind, AccessMode, ModifyKind};
use notify::{Config, Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use ziet_worker::{file_time, scan};

use crate::error::CliError;

/// A file that was written, made, renamed or removed.
#[derive(Debug)]
pub(crate) struct Saved {
    pub(crate) file: PathBuf,
    /// Whether a run that began before it cannot be right any more.
    pub(crate) is_source: bool,
}

/// Calls `tell` on a thread of its own for each save below `root`, as long as what it returns is kept.
pub(crate) fn watch(
    root: &Path,
    tell: impl Fn(Saved) + Send + 'static,
) -> Result<Arc<Mutex<RecommendedWatcher>>, CliError> {
    let (send, saves) = channel();
    let on_event = move |event: notify::Result<Event>| {
        for save in event.into_iter().filter(is_save) {
            let _ = send.send(save);
        }
    };
    let watching = || {
        let mut watcher = RecommendedWatcher::new(on_event, Config::default())?;
        add(&mut watcher, root, drop)?;
        Ok(watcher)
    };
    let watcher = watching().map_err(|error: notify::Error| {
        let failed = CliError::failed("the project's files cannot be watched", &error);
        if matches!(error.kind, notify::ErrorKind::MaxFilesWatch) {
            failed.hint("raise the limit: `sudo sysctl fs.inotify.max_user_watches=1048576`")
        } else {
            failed
        }
    })?;
    let watcher = Arc::new(Mutex::new(watcher));
    let (kept, root) = (Arc::downgrade(&watcher), root.to_owned());
    // A watcher that is told something within its own call would wait for itself.
    thread::spawn(move || {
        let tell = |file: PathBuf| {
            if is_of_project(&root, &file) {
                let is_source = is_source(&file);
                tell(Saved { file, is_source });
            }
        };
        for path in saves.into_iter().flat_map(|save: Event| save.paths) {
            if let Some(watcher) = kept.upgrade()
                && is_new_folder(&root, &path)
                && let Ok(mut watcher) = watcher.lock()
            {
                // What is in it may be older than the watch. Beyond the limit of watches, its saves go unseen.
                let _ = add(&mut watcher, &path, tell);
            }
            tell(path);
        }
    });
    Ok(watcher)
}

/// Watches `folder` and those below it, and calls `seen` for each file there. Folder by folder: the many of an
/// environment would use up what the system allows.
fn add(
    watcher: &mut RecommendedWatcher,
    folder: &Path,
    seen: impl Fn(PathBuf),
) -> notify::Result<()> {
    let mut folders = watcher.paths_mut();
    for entry in scan::below(folder) {
        if !entry.file_type().is_dir() {
            seen(entry.into_path());
            continue;
        }
        match folders.add(entry.path(), RecursiveMode::NonRecursive) {
            Err(error)
                if entry.depth() == 0 || matches!(error.kind, notify::ErrorKind::MaxFilesWatch) =>
            {
                return Err(error);
            }
            // One that is gone, or that cannot be read, has nothing to import.
            Ok(()) | Err(_) => {}
        }
    }
    folders.commit()
}

fn is_new_folder(root: &Path, path: &Path) -> bool {
    is_of_project(root, path)
        && !scan::is_of_tools(path)
        && fs_err::symlink_metadata(path).is_ok_and(|about| about.is_dir())
}

/// A time that no file has that is written later.
pub(crate) fn end_of_run() -> SystemTime {
    let ended = file_time();
    while file_time() == ended {
        thread::sleep(Duration::from_millis(1));
    }
    ended
}

/// Whether this save is worth a new run: source code always is. Any other file may have been written by the run itself,
/// whose end was at `run_ended`.
pub(crate) fn counts(file: &Path, run_ended: SystemTime) -> bool {
    if is_source(file) {
        return true;
    }
    let changed = fs_err::symlink_metadata(file).ok().and_then(|about| {
        let seconds = Duration::from_secs(u64::try_from(about.ctime()).ok()?);
        let part = Duration::from_nanos(u64::try_from(about.ctime_nsec()).ok()?);
        UNIX_EPOCH.checked_add(seconds + part)
    });
    changed.is_some_and(|changed| changed > run_ended)
}

/// Makes Python compile a saved module again. Its caches are told from the source by the length and the whole second of
/// the last change, which two saves shortly after each other may share.
pub(crate) fn forget_compiled(module: &Path) {
    let (Some(folder), Some(stem)) = (module.parent(), module.file_stem()) else {
        return;
    };
    let compiled = format!("{}.", stem.to_string_lossy());
    let caches = fs_err::read_dir(folder.join("__pycache__"));
    for cache in caches.into_iter().flatten().flatten() {
        if cache.file_name().to_string_lossy().starts_with(&compiled) {
            let _ = fs_err::remove_file(cache.path());
        }
    }
}

fn is_save(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(access) => access == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(what) => !matches!(what, ModifyKind::Metadata(_)),
        EventKind::Create(_) | EventKind::Remove(_) | EventKind::Any | EventKind::Other => true,
    }
}

fn is_source(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "py")
        || file.ends_with("ziet.toml")
        || file.ends_with("pyproject.toml")
}

/// Not what tools keep in folders of their own, and not what an editor writes on the way to a save.
fn is_of_project(root: &Path, file: &Path) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    if name.starts_with('.') || name.ends_with(['~', '#']) || name.ends_with(".tmp") {
        return false;
    }
    file.ancestors()
        .skip(1)
        .take_while(|folder| *folder != root)
        .all(|folder| !scan::is_of_tools(folder))
}
