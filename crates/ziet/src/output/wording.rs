//! How the program words what it says itself: counts, and marks that not every terminal has.

/// `1 action`, `7 actions`
pub(crate) fn counted(count: usize, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// The program's marks in ASCII if nothing else may be printed.
pub(super) fn marks(text: &str, ascii: bool) -> String {
    if ascii {
        text.replace('…', "...").replace('→', "->")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_not_many() {
        let counts = [0, 1, 2].map(|count| counted(count, "module"));
        assert_eq!(counts, ["0 modules", "1 module", "2 modules"]);
    }

    #[test]
    fn marks_are_ascii_where_that_is_asked_for() {
        assert_eq!(marks("→ a … é", true), "-> a ... é");
        assert_eq!(marks("→ a …", false), "→ a …");
    }
}
