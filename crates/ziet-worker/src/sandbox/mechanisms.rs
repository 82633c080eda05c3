//! What holds the project's code on this machine, in the words in which it is told.

use std::fmt::{self, Display};

use serde::{Deserialize, Serialize};

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

/// How things are held and ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mechanisms {
    /// None where the code is not shut in.
    pub sandbox: Option<Layers>,
}

impl Layers {
    /// How processes are ended that an attempt leaves, and all of them when the program is killed.
    fn ending(&self) -> &'static str {
        match self.namespaces {
            Some(Namespaces::MountsAndProcesses) => "namespace of processes",
            Some(Namespaces::Mounts) | None => "sweep over descendants",
        }
    }
}

impl Display for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let landlock = self.landlock.map(|version| format!("Landlock {version}"));
        let namespaces = self.namespaces.map(|namespaces| {
            let kinds = match namespaces {
                Namespaces::Mounts => "namespace of mounts",
                Namespaces::MountsAndProcesses => "namespaces of mounts and processes",
            };
            kinds.to_owned()
        });
        let user = self.user.map(|user| format!("user {user}"));
        let walls: Vec<String> = [landlock, namespaces, user].into_iter().flatten().collect();
        f.write_str(&walls.join(", "))
    }
}

impl Display for Mechanisms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sandbox {
            Some(layers) => write!(
                f,
                "{layers}; all ended by: {}; at most {} processes and threads; \
                 memory: RLIMIT_DATA and watching",
                layers.ending(),
                layers.processes
            ),
            None => f.write_str(
                "off; all ended by: sweep over descendants; processes: no limit; memory: RLIMIT_DATA and watching",
            ),
        }
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
        assert_eq!(
            layers.to_string(),
            "Landlock 7, namespaces of mounts and processes, user 1900000042"
        );
        let mechanisms = Mechanisms {
            sandbox: Some(Layers {
                namespaces: None,
                user: None,
                ..layers
            }),
        };
        assert_eq!(
            mechanisms.to_string(),
            "Landlock 7; all ended by: sweep over descendants; at most 576 processes and threads; \
             memory: RLIMIT_DATA and watching"
        );
    }
}
