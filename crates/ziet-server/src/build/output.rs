//! What uv says: passed on line by line, up to a limit, with its error kept.

use std::collections::VecDeque;
use std::mem;

use ziet_core::limits::LINE_BYTES;

/// Bytes of a build's log.
const LOG_BYTES: usize = 1024 * 1024;

/// Lines of what a command said last.
const LAST: usize = 60;

pub(super) struct Output<'a> {
    log: &'a mut dyn FnMut(&str),
    left: usize,
    line: Vec<u8>,
    last: VecDeque<String>,
}

impl<'a> Output<'a> {
    pub(super) fn new(log: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            log,
            left: LOG_BYTES,
            line: Vec::new(),
            last: VecDeque::new(),
        }
    }

    /// Another command comes.
    pub(super) fn begin(&mut self) {
        self.last.clear();
    }

    pub(super) fn take(&mut self, bytes: &[u8]) {
        for byte in bytes {
            match byte {
                b'\n' => self.end_line(),
                // The rest of a line without an end is of no use to anybody.
                byte if self.line.len() < LINE_BYTES => self.line.push(*byte),
                _ => {}
            }
        }
    }

    /// The command has ended.
    pub(super) fn end(&mut self) {
        if !self.line.is_empty() {
            self.end_line();
        }
    }

    fn end_line(&mut self) {
        let bytes = mem::take(&mut self.line);
        let line = String::from_utf8_lossy(&bytes).trim_end().to_owned();
        let left = self.left.checked_sub(line.len() + 1);
        match left {
            Some(_) => (self.log)(&line),
            None if self.left > 0 => {
                (self.log)("… the rest of the log is left out, since it is longer than 1 MB");
            }
            None => {}
        }
        self.left = left.unwrap_or(0);
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// What the command that has failed said of it.
    pub(super) fn error(&self) -> String {
        let begins = |line: &String| {
            ["error", "×", "Caused by"]
                .iter()
                .any(|word| line.trim_start().starts_with(word))
        };
        let start = self.last.iter().position(begins).unwrap_or(0);
        let lines: Vec<&str> = self.last.iter().skip(start).map(String::as_str).collect();
        lines.join("\n").trim().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_passed_on_and_the_error_is_kept() {
        let mut lines = Vec::new();
        let mut log = |line: &str| lines.push(line.to_owned());
        let mut output = Output::new(&mut log);
        output.take(b"Resolved 3 packages\r\nerror: no ");
        output.take("köln".as_bytes());
        output.take(b"\n  Caused by: \xff\nhint");
        output.end();
        assert_eq!(
            output.error(),
            "error: no köln\n  Caused by: \u{fffd}\nhint"
        );
        output.begin();
        output.take(b"fine\n");
        assert_eq!(output.error(), "fine");
        assert_eq!(
            lines,
            [
                "Resolved 3 packages",
                "error: no köln",
                "  Caused by: \u{fffd}",
                "hint",
                "fine"
            ]
        );
    }

    #[test]
    fn a_log_without_end_is_cut() {
        let mut bytes = 0;
        let mut lines = 0;
        let mut log = |line: &str| {
            bytes += line.len();
            lines += 1;
        };
        let mut output = Output::new(&mut log);
        for _ in 0..3000 {
            output.take(&[b'x'; 1000]);
            output.take(b"\n");
        }
        output.take(&vec![b'y'; 10 * LINE_BYTES]);
        output.end();
        assert_eq!(output.error().lines().last().unwrap().len(), LINE_BYTES);
        assert!((1_000_000..LOG_BYTES + 100).contains(&bytes), "{bytes}");
        assert!(lines < 1050, "{lines}");
    }
}
