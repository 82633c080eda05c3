//! Durations and sizes as people write them: `30d`, `15m`, `10GB`.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};

/// The word for no end of time.
pub(super) const NEVER: &str = "never";

const TIMES: &[(&str, u64)] = &[("d", 86_400), ("h", 3600), ("m", 60), ("s", 1)];

const SIZES: &[(&str, u64)] = &[("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10)];

/// A number with a unit behind it; 0 needs none.
fn measured(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    if text == "0" {
        return Some(0);
    }
    let (number, unit) = units
        .iter()
        .find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    let number = number.trim_end();
    let digits = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| number.parse::<u64>().ok()?.checked_mul(*unit))?
}

pub(super) fn read_time(text: &str) -> Option<Duration> {
    measured(text, TIMES).map(Duration::from_secs)
}

/// How long ago something may be: what is more than a hundred years is a mistake.
pub(crate) fn read_age(text: &str) -> Option<Duration> {
    read_time(text).filter(|age| age.as_secs() <= 36_500 * 86_400)
}

pub(super) fn read_bytes(text: &str) -> Option<u64> {
    measured(text, SIZES)
}

pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(from)?;
    read_time(&text).ok_or_else(|| Error::custom("no duration"))
}

/// None for ever.
pub(super) fn age<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(from)?;
    if text == NEVER {
        return Ok(None);
    }
    let age = read_time(&text).ok_or_else(|| Error::custom("no duration"))?;
    Ok(Some(age))
}

pub(super) fn bytes<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    read_bytes(&text).ok_or_else(|| Error::custom("no size"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_a_unit() {
        let seconds = |text| read_time(text).map(|time| time.as_secs());
        let read = ["30d", "12h", "15m", "900s", "0", "0s", "2 h"].map(seconds);
        let expected = [2_592_000, 43_200, 900, 900, 0, 0, 7200].map(Some);
        assert_eq!(read, expected);
        for wrong in [
            "",
            "s",
            "30",
            "-1s",
            "+1s",
            "1.5h",
            "3w",
            "99999999999999999999s",
            "s30",
        ] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
        let days = |text| read_age(text).map(|age| age.as_secs() / 86_400);
        assert_eq!(
            ["0s", "36500d", "36501d"].map(days),
            [Some(0), Some(36_500), None]
        );
        assert_eq!(read_bytes("10GB"), Some(10 << 30));
        assert_eq!(read_bytes("1kB"), Some(1024));
        assert_eq!(read_bytes("5"), None);
    }
}
