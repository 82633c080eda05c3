//! Text of users within lines of the program's own: on one line, spelled out, quoted, or wrapped.

/// Text that somebody chose, with its line ends and the like spelled out: what it says must not look like another line.
pub(crate) fn one_line(text: &str) -> String {
    let spelled = |char: char| {
        if char.is_control() {
            char.escape_default().to_string()
        } else {
            char.to_string()
        }
    };
    text.chars().map(spelled).collect()
}

/// As it has to be typed in a shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "_-./:=@%+,".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
