//! What holds the project's code on this machine, in the words in which it is told.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

use crate::os::Groups;
use crate::worker::WorkerSettings;

/// The walls of a sandbox that stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layers {
    /// The version of Landlock's interface.
    pub landlock: Option<u32>,
    pub namespaces: Option<Namespaces>,
    /// The user that the code runs as, if that is another one.
    pub user: Option<u32>,
    /// Processes and threads that there may be.
    pub processes: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Namespaces {
    /// A root of its own, with nothing in it but what is allowed.
    Mounts,
    /// That, and no other processes to be seen or met.
    MountsAndProcesses,
}

/// How the project's code is held, limited and ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mechanisms {
    /// None where the code is not shut in.
    pub sandbox: Option<Layers>,
    /// What control groups limit of each executor, `memory` or `pids`; None where none can be made.
    pub groups: Option<Vec<&'static str>>,
}

impl Mechanisms {
    /// Those that a worker with these settings would use.
    ///
    /// # Errors
    /// With the reason why its code could not be shut in.
    pub fn probe(settings: &WorkerSettings) -> Result<Self, String> {
        let sandbox = settings.sandbox.then(|| super::system::probe(settings));
        let groups = Groups::find(&settings.without);
        Ok(Self {
            sandbox: sandbox.transpose()?,
            groups: groups.map(|groups| groups.controllers().to_vec()),
        })
    }

    fn limits(&self, controller: &str) -> bool {
        let groups = self.groups.as_ref();
        groups.is_some_and(|limited| limited.contains(&controller))
    }

    /// How everything is ended that an attempt has started.
    fn ending(&self) -> &'static str {
        let namespaces = self.sandbox.as_ref().and_then(|layers| layers.namespaces);
        match (&self.groups, namespaces) {
            (Some(_), _) => "cgroup.kill",
            (None, Some(Namespaces::MountsAndProcesses)) => {
                "a sweep over descendants, and with the namespace of processes"
            }
            (None, Some(Namespaces::Mounts) | None) => "a sweep over descendants",
        }
    }

    fn processes(&self) -> String {
        match &self.sandbox {
            Some(_) if self.limits("pids") => {
                format!("at most {}, threads included (pids.max)", super::room())
            }
            Some(layers) => format!(
                "at most {}, threads included (RLIMIT_NPROC)",
                layers.processes
            ),
            None => "not contained".to_owned(),
        }
    }
}

impl Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let landlock = self.landlock.map(|version| format!("Landlock {version}"));
        let namespaces = self.namespaces.map(|namespaces| match namespaces {
            Namespaces::Mounts => "namespace of mounts".to_owned(),
            Namespaces::MountsAndProcesses => "namespaces of mounts and processes".to_owned(),
        });
        let user = self.user.map(|user| format!("user {user}"));
        let walls: Vec<String> = [landlock, namespaces, user].into_iter().flatten().collect();
        f.write_str(&walls.join(", "))
    }
}

impl Display for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(layers) = &self.sandbox {
            write!(f, "{layers}; ")?;
        }
        let memory = if self.limits("memory") {
            "memory.max, "
        } else {
            ""
        };
        write!(
            f,
            "what is left is ended by {}; processes: {}; memory: {memory}RLIMIT_DATA and watching",
            self.ending(),
            self.processes()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_holds() {
        let layers = Layers {
            landlock: Some(7),
            namespaces: Some(Namespaces::MountsAndProcesses),
            user: Some(1_900_000_042),
            processes: 576,
        };
        let mut mechanisms = Mechanisms {
            sandbox: Some(layers),
            groups: None,
        };
        assert_eq!(
            mechanisms.to_string(),
            "Landlock 7, namespaces of mounts and processes, user 1900000042; what is left is ended by a sweep over \
             descendants, and with the namespace of processes; processes: at most 576, threads included \
             (RLIMIT_NPROC); memory: RLIMIT_DATA and watching"
        );
        mechanisms.sandbox = None;
        assert_eq!(
            mechanisms.to_string(),
            "what is left is ended by a sweep over descendants; processes: not contained; \
             memory: RLIMIT_DATA and watching"
        );
        mechanisms.groups = Some(vec!["memory", "pids"]);
        assert_eq!(
            mechanisms.to_string(),
            "what is left is ended by cgroup.kill; processes: not contained; \
             memory: memory.max, RLIMIT_DATA and watching"
        );
    }
}
