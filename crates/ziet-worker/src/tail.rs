//! The end of what an attempt wrote to standard error, for when its process dies.

use std::collections::VecDeque;

const LINES: usize = 20;
const BYTES: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Tail {
    lines: VecDeque<String>,
    bytes: usize,
}

impl Tail {
    pub(crate) fn clear(&mut self) {
        self.lines.clear();
        self.bytes = 0;
    }

    /// Adds whole lines, and forgets the first ones where there are too many.
    pub(crate) fn push(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().rev().take(LINES).collect();
        for line in lines.into_iter().rev() {
            let start = (line.len().saturating_sub(BYTES)..=line.len())
                .find(|start| line.is_char_boundary(*start))
                .unwrap_or(line.len());
            self.bytes += line.len() - start;
            self.lines.push_back(line[start..].to_owned());
            while self.lines.len() > LINES || self.bytes > BYTES {
                self.bytes -= self.lines.pop_front().map_or(0, |first| first.len());
            }
        }
    }

    /// None when there is nothing to read in it.
    pub(crate) fn take(&mut self) -> Option<String> {
        self.bytes = 0;
        let text = self.lines.drain(..).collect::<Vec<_>>().join("\n");
        let text = text.trim_end();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_lines_and_no_more() {
        let mut tail = Tail::default();
        tail.push("first\nsecond");
        assert_eq!(tail.take().as_deref(), Some("first\nsecond"));
        assert_eq!(tail.take(), None);
        for number in 0..100 {
            tail.push(&number.to_string());
        }
        let text = tail.take().unwrap();
        assert_eq!(text.lines().count(), LINES);
        assert!(text.ends_with("\n99"));
    }

    #[test]
    fn cuts_long_lines_between_characters() {
        let mut tail = Tail::default();
        tail.push("before");
        tail.push(&"ä".repeat(BYTES));
        let text = tail.take().unwrap();
        assert_eq!(text.len(), BYTES);
        assert!(text.chars().all(|char| char == 'ä'));
    }
}
