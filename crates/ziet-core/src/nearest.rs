//! What somebody may have meant by a name that does not exist.

/// How alike two names must be for one to be taken for the other, from 0 to 1.
const LIKENESS: f64 = 0.75;

/// What has a name like `typed`, at most three, the likest first. A thing may stand in `named` under several names.
pub fn nearest<'a, T: PartialEq>(
    typed: &str,
    named: impl IntoIterator<Item = (&'a str, T)>,
) -> Vec<T> {
    let mut near: Vec<_> = named
        .into_iter()
        .map(|(name, thing)| (likeness(typed, name), thing))
        .filter(|(likeness, _)| *likeness > LIKENESS)
        .collect();
    near.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let mut found = Vec::new();
    for (_, thing) in near {
        if found.len() < 3 && !found.contains(&thing) {
            found.push(thing);
        }
    }
    found
}

/// Letters count alike in upper and lower case.
fn likeness(typed: &str, name: &str) -> f64 {
    strsim::jaro_winkler(&typed.to_lowercase(), &name.to_lowercase())
}

/// Whether `typed` is `name` but for a typing mistake: one character in four may differ.
pub fn is_typo(typed: &str, name: &str) -> bool {
    strsim::damerau_levenshtein(typed, name) <= name.chars().count() / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typing_mistake_is_near_and_another_word_is_not() {
        let near = |typed| nearest(typed, ["modules", "concurrency", "color"].map(|n| (n, n)));
        assert_eq!(near("module"), ["modules"]);
        assert_eq!(near("colour"), ["color"]);
        assert_eq!(near("COLOR"), ["color"]);
        assert_eq!(near("timeout"), [""; 0]);
    }

    #[test]
    fn a_thing_with_two_near_names_comes_once() {
        assert_eq!(
            nearest("pay", [("pays", 1), ("payed", 1), ("play", 2)]),
            [1, 2]
        );
    }
}
