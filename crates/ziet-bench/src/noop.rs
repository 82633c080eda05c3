//! The call that does nothing, with what it is given.

pub(crate) const NOOP: &str = "actions.noop";

/// 1024 bytes, which the action's parameters demand.
pub(crate) fn input() -> String {
    let numbers: Vec<_> = (1000..1064).map(|number| number.to_string()).collect();
    let numbers = numbers.join(",");
    let start = format!("{{\"number\":1,\"numbers\":[{numbers}],\"text\":\"");
    let text = "x".repeat(1024 - start.len() - 2);
    format!("{start}{text}\"}}")
}
