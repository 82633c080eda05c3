//! Times as people read them: how long ago on a terminal, exactly everywhere else.

use std::time::Duration;

use ziet_core::Time;

const UNITS: &[(u64, &str)] = &[(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];

/// `3 min ago`, `in 2 h`.
pub(super) fn ago(time: Time, now: Time) -> String {
    let (past, ahead) = (now.since(time), time.since(now));
    match (past.as_secs(), ahead.as_secs()) {
        (0, 0) => "now".to_owned(),
        // What is due in an hour is so a moment later as well.
        (0, seconds) => format!("in {}", rough(Duration::from_secs(seconds + seconds / 30))),
        _ => format!("{} ago", rough(past)),
    }
}

/// In the largest unit of which there is one.
fn rough(time: Duration) -> String {
    let seconds = time.as_secs();
    let unit = UNITS.iter().find(|(length, _)| seconds >= *length);
    unit.map_or_else(
        || "0 s".to_owned(),
        |(length, unit)| format!("{} {unit}", seconds / length),
    )
}

/// How long something took: `0.25 s`, `12 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn took(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.2} s", time.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_largest_unit() {
        let now = Time::from_millis(1_700_000_000_000);
        let shown = |seconds: i64| ago(Time::from_millis(now.as_millis() + seconds * 1000), now);
        let texts = [0, -1, -59, -60, -3599, -7200, -86_400 * 3, 5, 7300].map(shown);
        assert_eq!(
            texts,
            [
                "now",
                "1 s ago",
                "59 s ago",
                "1 min ago",
                "59 min ago",
                "2 h ago",
                "3 d ago",
                "in 5 s",
                "in 2 h"
            ]
        );
        let took = |millis| took(Duration::from_millis(millis));
        assert_eq!(
            [50, 9990, 12_000, 200_000, 7_500_000].map(took),
            ["0.05 s", "9.99 s", "12 s", "3 min 20 s", "2 h 5 min"]
        );
    }
}
