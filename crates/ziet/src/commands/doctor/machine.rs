//! The operating system, the disk, and what there would be for a sandbox.

use std::path::Path;
use std::time::Duration;

use ziet_worker::{Abilities, Cgroup, flush_time};

use super::{Check, walls};
use crate::settings::Settings;

/// A commit waits for the disk, and so does whoever waits for a commit.
const SLOW_FLUSH: Duration = Duration::from_millis(10);

/// No disk is that fast: it keeps the bytes in memory that a loss of power takes away.
const NO_FLUSH: Duration = Duration::from_micros(20);

/// Descriptors that the program uses itself, and for each attempt.
const OWN_FILES: u64 = 64;
const FILES_PER_ATTEMPT: u64 = 8;

/// What an attempt may start besides its own process, before a limit of processes is too narrow.
const PROCESSES_PER_ATTEMPT: u64 = 4;

pub(super) fn checks(settings: Option<&Settings>) -> Vec<Check> {
    let abilities = Abilities::probe();
    let mut checks = vec![
        system(&abilities),
        landlock(&abilities),
        privileges(&abilities),
        cgroup(abilities.cgroup.as_ref()),
        processes(&abilities),
    ];
    if let Some(settings) = settings {
        checks.extend(walls::checks(settings));
        checks.push(disk(settings.root()));
        checks.extend(limits(&abilities, settings.concurrency()));
    }
    checks
}

fn system(abilities: &Abilities) -> Check {
    let memory = abilities.memory_bytes.map_or(String::new(), |bytes| {
        format!(", {} MB of memory", bytes / (1024 * 1024))
    });
    let found = format!(
        "{}, {} processors{memory}",
        abilities.system, abilities.processors
    );
    if abilities.system.starts_with("Linux ") {
        Check::ok("system", found)
    } else {
        Check::warning(
            "system",
            found,
            "local runs work here, but without limits of memory; a sandbox needs Linux",
        )
    }
}

fn landlock(abilities: &Abilities) -> Check {
    match abilities.landlock {
        Some(version) => Check::ok("landlock", format!("version {version}")),
        None => Check::warning(
            "landlock",
            "missing",
            "a sandbox is then made of namespaces alone; Landlock is in Linux from 5.13 on, where it is among the kernel's \
             security modules",
        ),
    }
}

fn privileges(abilities: &Abilities) -> Check {
    const NAME: &str = "privileges";
    if abilities.root {
        return Check::warning(
            NAME,
            "ziet is run by root, and so is the code of actions",
            "shut the code in with --sandbox on, or run ziet as another user, unless this is a container of its own",
        );
    }
    if abilities.no_new_privileges {
        Check::ok(NAME, "not root; no-new-privileges can be set")
    } else {
        Check::warning(
            NAME,
            "not root; no-new-privileges cannot be set",
            "a sandbox needs Linux; local runs do without",
        )
    }
}

fn cgroup(cgroup: Option<&Cgroup>) -> Check {
    const NAME: &str = "cgroup";
    const WITHOUT: &str = "memory and processes are then limited and ended in other ways";
    let Some(Cgroup {
        folder,
        controllers,
        leaf,
    }) = cgroup
    else {
        return Check::warning(NAME, "version 2 is not mounted", WITHOUT);
    };
    let folder = folder.display();
    match leaf {
        Err(error) => Check::warning(
            NAME,
            format!("none can be made below {folder}: {error}"),
            format!("{WITHOUT}; `systemd-run --user --scope -p Delegate=yes ziet …` gives it one"),
        ),
        Ok(can_kill) => {
            let missing: Vec<&str> = ["memory", "pids"]
                .into_iter()
                .filter(|wanted| !controllers.iter().any(|controller| controller == wanted))
                .chain((!can_kill).then_some("cgroup.kill (Linux 5.14)"))
                .collect();
            if missing.is_empty() {
                return Check::ok(NAME, format!("can be made below {folder}"));
            }
            let found = format!("can be made below {folder}, without {}", missing.join(", "));
            Check::warning(NAME, found, WITHOUT)
        }
    }
}

fn processes(abilities: &Abilities) -> Check {
    const NAME: &str = "pidfd";
    if abilities.pidfd {
        Check::ok(NAME, "pidfd_open")
    } else {
        Check::warning(
            NAME,
            "missing",
            "processes are ended for certain with Linux 5.3 or later",
        )
    }
}

fn disk(root: &Path) -> Check {
    const NAME: &str = "disk";
    let state = root.join(".ziet");
    let folder = if state.is_dir() { &state } else { root };
    let time = match flush_time(folder) {
        Ok(time) => time,
        Err(error) => {
            let found = format!("{} cannot be written to: {error}", folder.display());
            return Check::warning(
                NAME,
                found,
                "local runs keep nothing on disk; what keeps its state here cannot",
            );
        }
    };
    let shown = format!("{:.2} ms", time.as_secs_f64() * 1000.0);
    let found = format!("{shown} to flush 4 KB (fdatasync, in {})", folder.display());
    if time > SLOW_FLUSH {
        let advice = "a slow disk: a commit takes at least as long; put durable state on another";
        Check::warning(NAME, found, advice)
    } else if time < NO_FLUSH {
        let advice =
            "too fast for a disk that really flushes, such as tmpfs: do not put durable state here";
        Check::warning(NAME, found, advice)
    } else {
        Check::ok(NAME, found)
    }
}

fn limits(abilities: &Abilities, concurrency: usize) -> [Check; 2] {
    let attempts = concurrency as u64;
    let check = |name, limit: Option<u64>, wanted: u64, flag: &str| match limit {
        None => Check::ok(name, "no limit"),
        Some(limit) if limit >= wanted => Check::ok(name, limit.to_string()),
        Some(limit) => Check::warning(
            name,
            limit.to_string(),
            format!(
                "{attempts} attempts at the same time may need {wanted}: ulimit -{flag} {wanted}, or a lower concurrency"
            ),
        ),
    };
    let files = OWN_FILES + attempts * FILES_PER_ATTEMPT;
    [
        check("open files", abilities.open_files, files, "n"),
        check(
            "processes",
            abilities.processes,
            attempts * PROCESSES_PER_ATTEMPT,
            "u",
        ),
    ]
}
