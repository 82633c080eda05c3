//! What a bundle is known by: a hash of the names, modes and bytes of its files.

use std::fmt::{self, Display};
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

/// Hexadecimal digits of a digest that people see and type.
const SHOWN: usize = 12;

/// The SHA-256 of a bundle's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The first digits, by which people know it.
    pub fn version(&self) -> String {
        let mut text = self.to_string();
        text.truncate(SHOWN);
        text
    }
}

impl Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Digest {
    type Err = ();

    /// All 64 digits, in lower case.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut bytes = [0; 32];
        let digits = text.as_bytes();
        if digits.len() != 2 * bytes.len()
            || digits
                .iter()
                .any(|digit| !matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
        {
            return Err(());
        }
        for (byte, start) in bytes.iter_mut().zip((0..).step_by(2)) {
            *byte = u8::from_str_radix(&text[start..start + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(bytes))
    }
}

/// The digest of files that come in the order of their names.
#[derive(Default)]
pub(super) struct Digesting(Sha256);

impl Digesting {
    pub(super) fn add(&mut self, name: &str, executable: bool, bytes: u64, content: Sha256) {
        self.0.update(name);
        // No name has a zero byte, and all that follows has a fixed length: no two lists of files read alike.
        self.0.update([0, executable.into()]);
        self.0.update(bytes.to_be_bytes());
        self.0.update(content.finalize());
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_is_written() {
        let mut digesting = Digesting::default();
        digesting.add("a.py", false, 1, Sha256::new_with_prefix("x"));
        let digest = digesting.finish();
        let text = digest.to_string();
        assert_eq!(text.parse(), Ok(digest));
        assert_eq!(digest.version(), text[..12]);
        for wrong in [
            "",
            &text[1..],
            &text.to_uppercase(),
            &format!("+{}", &text[1..]),
            &"é".repeat(32),
        ] {
            assert_eq!(wrong.parse::<Digest>(), Err(()), "{wrong}");
        }
    }
}
