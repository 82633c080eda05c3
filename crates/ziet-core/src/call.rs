//! Calls of actions by running actions, named so that a retried parent can find the child runs that it had.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use crate::id::ActionId;
use crate::json::Json;

/// What a call of one run is known by: which action, with which arguments, the how-manieth time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CallKey {
    pub action_id: ActionId,
    /// SHA-256 of the arguments as the executor encodes them, with sorted keys.
    pub arguments: [u8; 32],
    /// Zero for the first such call of the run.
    pub occurrence: u32,
}

/// Gives the calls of one attempt their keys.
#[derive(Debug, Default)]
pub struct CallCounter {
    calls: HashMap<(ActionId, [u8; 32]), u32>,
}

impl CallCounter {
    pub fn key(&mut self, action_id: &ActionId, arguments: &Json) -> CallKey {
        let arguments: [u8; 32] = Sha256::digest(arguments.as_bytes()).into();
        let next = self
            .calls
            .entry((action_id.clone(), arguments))
            .or_default();
        let occurrence = *next;
        *next += 1;
        CallKey {
            action_id: action_id.clone(),
            arguments,
            occurrence,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_calls_are_told_apart_by_their_order() {
        let mut counter = CallCounter::default();
        let action = ActionId::new("fetch");
        let one = Json::trusted(*br#"{"x":1}"#);
        let two = Json::trusted(*br#"{"x":2}"#);
        let keys = [&one, &two, &one].map(|arguments| counter.key(&action, arguments));
        assert_eq!(keys.clone().map(|key| key.occurrence), [0, 0, 1]);
        assert_ne!(keys[0].arguments, keys[1].arguments);
    }
}
