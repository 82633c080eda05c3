//! What a file in a bundle may be called. Packing and unpacking ask the same.

/// Bytes of a whole name: enough for any project, and short enough below every folder that it is unpacked into.
const NAME_BYTES: usize = 1024;

/// Bytes between two slashes, as file systems take them.
const PART_BYTES: usize = 255;

/// Says what is wrong with a name, if anything is: it must lead from a folder to a file in it, in one way only.
pub(super) fn fault(name: &str) -> Option<&'static str> {
    if name.len() > NAME_BYTES {
        return Some("is longer than 1024 bytes");
    }
    if name.starts_with('/') {
        return Some("is absolute");
    }
    if name.chars().any(char::is_control) {
        return Some("has a control character");
    }
    name.split('/').find_map(|part| match part {
        "" => Some("has an empty part"),
        "." | ".." => Some("has a part `.` or `..`"),
        part if part.len() > PART_BYTES => Some("has a part that is longer than 255 bytes"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_leads_to_a_file_below() {
        for fine in ["a", "a/b.py", ".hidden/..b", "a b/é", &"x".repeat(255)] {
            assert_eq!(fault(fine), None, "{fine}");
        }
        let long = format!("{}b", "a/".repeat(512));
        let wide = "x".repeat(256);
        for wrong in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/..",
            ".",
            "a//b",
            "a/",
            "a\0b",
            "a\nb",
            &long,
            &wide,
        ] {
            assert!(fault(wrong).is_some(), "{wrong}");
        }
    }
}
