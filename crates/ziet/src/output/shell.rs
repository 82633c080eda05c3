//! What people copy into a shell.

/// As it has to be typed in a shell.
pub(crate) fn quoted(text: &str) -> String {
    let plain = |char: char| char.is_alphanumeric() || "_-./:=@%+,".contains(char);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}
