//! Why an environment cannot be had.

use std::io;

#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// This machine's files, or its processes.
    #[error(transparent)]
    Machine(#[from] io::Error),
    #[error(
        "building the environment needs uv, which this server does not have: whoever runs it installs it beside ziet with `pip install uv`, or names it with --uv"
    )]
    NoUv,
    #[error("the server's interpreter does not answer: {0}")]
    Python(String),
    #[error("no Python on the server fits {wanted}, and none is downloaded: {said}")]
    NoPython { wanted: String, said: String },
    /// What the project says cannot be read.
    #[error("{0}")]
    Project(String),
    #[error("{what} failed ({ending}): {said}")]
    Failed {
        what: &'static str,
        ending: String,
        said: String,
    },
    #[error("building the environment took longer than 15 minutes, and was ended")]
    TimedOut,
    #[error(
        "the build has changed `{0}` of its environment, which leads out of it: no package may do that"
    )]
    Changed(String),
}
