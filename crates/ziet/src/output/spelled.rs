//! Text that somebody else chose, made safe to show: characters that steer a terminal are spelled out as in Python.

use std::fmt::Write as _;

/// In one line: what it says must not look like another line.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().fold(String::new(), |mut shown, char| {
        match char {
            '\n' => shown.push_str("\\n"),
            '\t' => shown.push_str("\\t"),
            _ => push(&mut shown, char),
        }
        shown
    })
}

/// With its lines and tabs.
pub(super) fn lines(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\n' | '\t' => shown.push(char),
            '\r' if chars.peek() == Some(&'\n') => {}
            _ => push(&mut shown, char),
        }
    }
    shown
}

/// A line that an action printed: with its tabs and its colours, which end with it.
pub(super) fn printed(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    let mut coloured = false;
    while let Some(char) = rest.chars().next() {
        let length = colour(rest);
        if length > 0 {
            shown.push_str(&rest[..length]);
            coloured = true;
            rest = &rest[length..];
            continue;
        }
        match char {
            '\t' => shown.push(char),
            _ => push(&mut shown, char),
        }
        rest = &rest[char.len_utf8()..];
    }
    if coloured {
        shown.push_str("\x1b[0m");
    }
    shown
}

/// How long the sequence is at the beginning of `text` that does no more than to choose a colour or a style.
fn colour(text: &str) -> usize {
    let Some(parameters) = text.strip_prefix("\x1b[") else {
        return 0;
    };
    let end = parameters.find(|char: char| !matches!(char, '0'..='9' | ';' | ':'));
    match end {
        Some(end) if parameters[end..].starts_with('m') => "\x1b[m".len() + end,
        Some(_) | None => 0,
    }
}

fn push(shown: &mut String, char: char) {
    match char {
        '\r' => shown.push_str("\\r"),
        // Separators of lines, and marks that turn the direction of what follows.
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            let _ = write!(shown, "\\u{:04x}", u32::from(char));
        }
        _ if char.is_control() => {
            let _ = write!(shown, "\\x{:02x}", u32::from(char));
        }
        _ => shown.push(char),
    }
}

#[cfg(test)]
mod tests {
    use super::{lines, one_line, printed};

    #[test]
    fn only_colours_of_what_was_printed_reach_the_terminal() {
        assert_eq!(
            printed("a\tb \x1b[1;31mred\x1b[2J\x1b]0;title\x07\rfake\u{9b}"),
            "a\tb \x1b[1;31mred\\x1b[2J\\x1b]0;title\\x07\\rfake\\x9b\x1b[0m"
        );
        assert_eq!(printed("plain \x1b[31"), "plain \\x1b[31");
    }

    #[test]
    fn what_steers_a_terminal_is_spelled_out() {
        let text = "a\x1b[31m\x07\0\u{9b}\u{202e}\r\n\tb\rc é";
        assert_eq!(
            one_line(text),
            "a\\x1b[31m\\x07\\x00\\x9b\\u202e\\r\\n\\tb\\rc é"
        );
        assert_eq!(lines(text), "a\\x1b[31m\\x07\\x00\\x9b\\u202e\n\tb\\rc é");
    }
}
