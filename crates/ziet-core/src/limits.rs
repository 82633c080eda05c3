//! What one action may use. One table: everything that enforces or explains a limit reads it here.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Serialize, Serializer};

const MB: usize = 1024 * 1024;

/// An input, an output and a memory value, each as JSON text.
pub const JSON_BYTES: usize = 6 * MB;

/// The metadata of a memory entry.
pub const METADATA_BYTES: usize = MB;

/// All entries of one memory together.
pub const MEMORY_BYTES: usize = 100 * MB;

/// One message between Rust and Python; a longer answer comes in several.
pub const FRAME_BYTES: usize = 8 * MB;

/// What one attempt may print and log; the rest is dropped, and a line says so.
pub const OUTPUT_BYTES: usize = 10 * MB;

/// Bytes of a line that is printed or logged; the rest is cut off, and the line says so.
pub const LINE_BYTES: usize = 16 * 1024;

/// Memory that an attempt may use, on top of what the imported project takes.
pub const ATTEMPT_MEMORY_BYTES: RangeInclusive<u64> = (16 * MB as u64)..=(10 * 1024 * MB as u64);

/// Files in the scratch directory of an executor.
pub const SCRATCH_BYTES: u64 = 512 * MB as u64;

/// Files of a deployment together, unpacked.
pub const BUNDLE_BYTES: u64 = 250 * MB as u64;

/// Files of a deployment.
pub const BUNDLE_FILES: usize = FILES as usize;
const FILES: u32 = 100_000;

/// Characters of a memory key.
pub const KEY_CHARS: usize = 512;

/// Runs below each other, so that an action that calls itself for ever cannot fill the machine with processes.
pub const CALL_DEPTH: u32 = 50;

/// Calls of one attempt that have not been answered.
pub const OPEN_CALLS: u32 = 1000;

/// The inputs of all called runs of a project that have not finished: they are in memory, since attempts wait for them.
pub const CALLED_BYTES: u64 = 256 * MB as u64;

/// Characters of an action's id.
pub const ID_CHARS: usize = 128;

/// Seconds of an attempt's own time.
pub const TIMEOUT_SECONDS: RangeInclusive<u32> = 1..=900;

/// Retries of a run.
pub const RETRIES: RangeInclusive<u32> = 0..=100;

/// Lost attempts in a row after which a run fails.
pub const LOST_IN_A_ROW: u32 = 5;

/// How long importing a project may take.
pub const IMPORT_TIME: Duration = Duration::from_secs(IMPORT_SECONDS as u64);
const IMPORT_SECONDS: u32 = 60;

/// A limit as people read it, in the table [`LIMITS`].
pub struct Limit {
    pub name: &'static str,
    pub amount: Amount,
    pub beyond: &'static str,
}

pub enum Amount {
    Bytes(u64, u64),
    Characters(usize),
    Seconds(u32, u32),
    Count(u32, u32),
}

impl Limit {
    /// `6 MB`, `1 to 900 s`
    pub fn text(&self) -> String {
        match self.amount {
            Amount::Bytes(0, most) if most < MB as u64 => format!("{} kB", most / 1024),
            Amount::Bytes(0, most) => memory_text(most),
            Amount::Bytes(least, most) => {
                format!("{} to {}", memory_text(least), memory_text(most))
            }
            Amount::Characters(most) => format!("{most} characters"),
            Amount::Seconds(0, most) => format!("{most} s"),
            Amount::Seconds(least, most) => format!("{least} to {most} s"),
            Amount::Count(0, most) => most.to_string(),
            Amount::Count(least, most) => format!("{least} to {most}"),
        }
    }
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Row<'a> {
            name: &'a str,
            least: u64,
            most: u64,
            unit: &'a str,
            beyond: &'a str,
        }
        let (least, most, unit) = match self.amount {
            Amount::Bytes(least, most) => (least, most, "bytes"),
            Amount::Characters(most) => (0, most as u64, "characters"),
            Amount::Seconds(least, most) => (least.into(), most.into(), "seconds"),
            Amount::Count(least, most) => (least.into(), most.into(), "times"),
        };
        let row = Row {
            name: self.name,
            least,
            most,
            unit,
            beyond: self.beyond,
        };
        row.serialize(serializer)
    }
}

/// Every limit that users can meet, in the order in which an action does.
pub const LIMITS: &[Limit] = &[
    Limit {
        name: "deployment",
        amount: Amount::Bytes(0, BUNDLE_BYTES),
        beyond: "`ziet deploy` refuses it, and so does the server",
    },
    Limit {
        name: "files of a deployment",
        amount: Amount::Count(0, FILES),
        beyond: "`ziet deploy` refuses them, and so does the server",
    },
    Limit {
        name: "import",
        amount: Amount::Seconds(0, IMPORT_SECONDS),
        beyond: "importing the project is given up",
    },
    Limit {
        name: "action id",
        amount: Amount::Characters(ID_CHARS),
        beyond: "the decorator refuses it",
    },
    Limit {
        name: "timeout",
        amount: Amount::Seconds(*TIMEOUT_SECONDS.start(), *TIMEOUT_SECONDS.end()),
        beyond: "the decorator refuses it; beyond its own, an attempt is ended",
    },
    Limit {
        name: "attempt memory",
        amount: Amount::Bytes(*ATTEMPT_MEMORY_BYTES.start(), *ATTEMPT_MEMORY_BYTES.end()),
        beyond: "the decorator refuses it; beyond its own, an attempt is ended",
    },
    Limit {
        name: "scratch directory",
        amount: Amount::Bytes(0, SCRATCH_BYTES),
        beyond: "in a sandbox, the attempt is ended",
    },
    Limit {
        name: "retries",
        amount: Amount::Count(*RETRIES.start(), *RETRIES.end()),
        beyond: "the decorator refuses it",
    },
    Limit {
        name: "lost attempts in a row",
        amount: Amount::Count(0, LOST_IN_A_ROW),
        beyond: "with the last one the run fails; lost attempts use up no retries",
    },
    Limit {
        name: "call depth",
        amount: Amount::Count(0, CALL_DEPTH),
        beyond: "the call raises an error",
    },
    Limit {
        name: "open calls",
        amount: Amount::Count(0, OPEN_CALLS),
        beyond: "the call raises an error",
    },
    Limit {
        name: "inputs of called runs",
        amount: Amount::Bytes(0, CALLED_BYTES),
        beyond: "the call raises an error",
    },
    Limit {
        name: "input",
        amount: Amount::Bytes(0, JSON_BYTES as u64),
        beyond: "the run is refused",
    },
    Limit {
        name: "output",
        amount: Amount::Bytes(0, JSON_BYTES as u64),
        beyond: "the run fails, without a retry",
    },
    Limit {
        name: "memory value",
        amount: Amount::Bytes(0, JSON_BYTES as u64),
        beyond: "memory.add raises an error",
    },
    Limit {
        name: "memory metadata",
        amount: Amount::Bytes(0, METADATA_BYTES as u64),
        beyond: "memory.add raises an error; so does memory.search for its query and its filter",
    },
    Limit {
        name: "memory key",
        amount: Amount::Characters(KEY_CHARS),
        beyond: "memory.add raises an error",
    },
    Limit {
        name: "memory",
        amount: Amount::Bytes(0, MEMORY_BYTES as u64),
        beyond: "memory.add raises an error",
    },
    Limit {
        name: "printed and logged",
        amount: Amount::Bytes(0, OUTPUT_BYTES as u64),
        beyond: "the rest of the attempt's lines is dropped, and a line says so",
    },
    Limit {
        name: "line",
        amount: Amount::Bytes(0, LINE_BYTES as u64),
        beyond: "the rest of the line is cut off, and the line says so",
    },
];

/// A size as people read it, in units of 1,048,576 bytes: `7.0 MB`.
///
/// As many decimals as it takes to not look like `limit` when it is not: one byte over 6 MB is not `6.0 MB`.
pub fn size_text(bytes: usize, limit: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let shown =
        |bytes: usize, decimals: usize| format!("{:.decimals$} MB", bytes as f64 / MB as f64);
    (1..7)
        .find(|&decimals| bytes <= limit || shown(bytes, decimals) != shown(limit, decimals))
        .map_or_else(
            || format!("{bytes} bytes"),
            |decimals| shown(bytes, decimals),
        )
}

/// As it is written in the decorator: `10 GB`, `1.5 GB`, `512 MB`.
pub fn memory_text(bytes: u64) -> String {
    const MB: u64 = 1024 * 1024;
    // A tenth of a GB is no whole number of bytes.
    let tenths = (bytes * 10 + 512 * MB) / (1024 * MB);
    let (number, unit) = if bytes >= 1024 * MB && (tenths * 1024 * MB).abs_diff(bytes * 10) < 10 {
        (tenths, "GB")
    } else {
        ((bytes * 10 + MB / 2) / MB, "MB")
    };
    match (number / 10, number % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}

/// Says that an attempt used too much memory: `used 612 MB, limit 512 MB`. A part of a unit counts as one, so that what
/// is over its limit does not look like it.
pub fn memory_excess(used: u64, limit: u64) -> String {
    let used = used.next_multiple_of(MB as u64);
    format!("used {}, limit {}", memory_text(used), memory_text(limit))
}

/// Says that something is too large: `7.0 MB, limit 6 MB`. None when it is not.
pub fn excess(bytes: usize, limit: usize) -> Option<String> {
    (bytes > limit).then(|| format!("{}, limit {} MB", size_text(bytes, limit), limit / MB))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_how_much_too_large_something_is() {
        assert_eq!(
            excess(7 * MB, JSON_BYTES).as_deref(),
            Some("7.0 MB, limit 6 MB")
        );
        assert_eq!(excess(JSON_BYTES, JSON_BYTES), None);
    }

    #[test]
    fn memory_is_shown_as_it_was_written() {
        let shown = [
            10 << 30,
            3 << 29,
            1_181_116_006,
            512 << 20,
            16 << 20,
            17_616_077,
            1700 << 20,
        ];
        assert_eq!(
            shown.map(memory_text),
            [
                "10 GB", "1.5 GB", "1.1 GB", "512 MB", "16 MB", "16.8 MB", "1700 MB"
            ]
        );
    }

    #[test]
    fn a_little_too_much_memory_does_not_look_like_the_limit() {
        assert_eq!(
            memory_excess((512 << 20) + 1, 512 << 20),
            "used 513 MB, limit 512 MB"
        );
    }

    #[test]
    fn a_little_too_large_does_not_look_like_the_limit() {
        assert_eq!(
            excess(JSON_BYTES + 2, JSON_BYTES).as_deref(),
            Some("6.000002 MB, limit 6 MB")
        );
        assert_eq!(
            excess(JSON_BYTES + 60_000, JSON_BYTES).as_deref(),
            Some("6.1 MB, limit 6 MB")
        );
    }
}
