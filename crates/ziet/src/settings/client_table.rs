//! The settings of the commands that speak with a server, declared as those of a project are in `table.rs`.
//!
//! They are given by flags and variables only: a project that came from elsewhere must not say who is shown a key.

use super::table::{Default, Flag, Kind, Places, Setting};

/// The key to show. It is no flag, since everybody on a machine can see those.
pub(super) const API_KEY: &str = "api_key";

pub(crate) const CLIENT: &[Setting] = &[
    Setting {
        name: "server",
        kind: Kind::Server,
        default: Default::Depends("the one of the last `ziet login`"),
        flag: Some(Flag::Takes {
            name: "server",
            value: "NAME|URL",
        }),
        places: Places::Variable,
        summary: "The server to ask",
        details: "The name that `ziet login` has kept it under, or a URL such as `https://shop.example.com`. The key for a URL is ZIET_API_KEY, or what `ziet login` has kept for the same URL.",
        since: "0.1",
    },
    Setting {
        name: API_KEY,
        kind: Kind::Secret,
        default: Default::Depends("the one that `ziet login` has kept for the server"),
        flag: None,
        places: Places::Variable,
        summary: "The key to show to the server",
        details: "It goes before the one that `ziet login` has kept. There is no flag for it: others on the machine can see those.",
        since: "0.1",
    },
];
