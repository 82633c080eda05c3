//! JSON text as Python's `json.dumps` writes it, which is how people know the values of their actions.

use std::fmt::Write as _;

/// Rewrites a JSON document: `{"a": [1, 2.5]}`, characters beyond ASCII as `\u00e9`, floats as `repr` shows them. Text
/// that is not JSON stays much as it is.
pub(crate) fn as_python(json: &str) -> String {
    rewrite(json, usize::MAX)
}

/// The first `longest` characters of that, with `ellipsis` for what follows.
pub(crate) fn as_python_cut(json: &str, longest: usize, ellipsis: &str) -> String {
    let mut text = rewrite(json, longest);
    // All of it is ASCII, but for what was not JSON.
    if let Some((end, _)) = text.char_indices().nth(longest) {
        text.truncate(end);
        text.push_str(ellipsis);
    }
    text
}

/// Stops soon after `enough` bytes.
fn rewrite(json: &str, enough: usize) -> String {
    let mut text = String::with_capacity(enough.min(json.len() + json.len() / 8));
    let mut rest = json;
    while let Some(first) = rest.chars().next()
        && text.len() <= enough
    {
        let length = match first {
            '"' => string(rest, &mut text, enough),
            '-' | '0'..='9' => number(rest, &mut text),
            _ => {
                match first {
                    ',' => text.push_str(", "),
                    ':' => text.push_str(": "),
                    ' ' | '\t' | '\r' | '\n' => {}
                    other => text.push(other),
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    text
}

/// Writes the string that `json` starts with, and says how much of it was taken.
fn string(json: &str, text: &mut String, enough: usize) -> usize {
    text.push('"');
    let mut chars = json.char_indices().skip(1);
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => {
                text.push('"');
                return at + 1;
            }
            '\\' => match chars.next() {
                Some((at, 'u')) => {
                    let unit = json
                        .get(at + 1..at + 5)
                        .and_then(|digits| u16::from_str_radix(digits, 16).ok());
                    chars.by_ref().take(4).for_each(drop);
                    if let Some(unit) = unit {
                        escaped(unit, text);
                    }
                }
                Some((_, '/')) => text.push('/'),
                Some((_, escape)) => text.extend(['\\', escape]),
                None => {}
            },
            // Also beyond the basic plane, where Python writes a pair.
            other => other
                .encode_utf16(&mut [0; 2])
                .iter()
                .for_each(|unit| escaped(*unit, text)),
        }
        if text.len() > enough {
            return json.len();
        }
    }
    json.len()
}

/// One unit of UTF-16 as Python writes it within a string.
fn escaped(unit: u16, text: &mut String) {
    match u8::try_from(unit) {
        Ok(b'"') => text.push_str("\\\""),
        Ok(b'\\') => text.push_str("\\\\"),
        Ok(b'\n') => text.push_str("\\n"),
        Ok(b'\r') => text.push_str("\\r"),
        Ok(b'\t') => text.push_str("\\t"),
        Ok(8) => text.push_str("\\b"),
        Ok(12) => text.push_str("\\f"),
        Ok(ascii @ b' '..=b'~') => text.push(char::from(ascii)),
        _ => {
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
}

fn number(json: &str, text: &mut String) -> usize {
    let length = json
        .find(|char: char| !matches!(char, '0'..='9' | '-' | '+' | '.' | 'e' | 'E'))
        .unwrap_or(json.len());
    let token = &json[..length];
    match token.parse::<f64>() {
        Ok(float) if token.contains(['.', 'e', 'E']) && float.is_finite() => {
            text.push_str(&python_float(float));
        }
        _ => text.push_str(token),
    }
    length
}

/// The shortest digits that mean this number, with an exponent where Python uses one.
fn python_float(float: f64) -> String {
    let scientific = format!("{float:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    match exponent.parse::<i32>() {
        Ok(exponent) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => format!("{float:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{as_python, as_python_cut};

    #[test]
    fn is_cut_after_so_many_characters() {
        assert_eq!(as_python_cut(r#"{"a":"bcdef"}"#, 8, "…"), r#"{"a": "b…"#);
        assert_eq!(as_python_cut("[1,2]", 6, "…"), "[1, 2]");
        assert_eq!(as_python_cut("[1,2]", 5, "…"), "[1, 2…");
        assert_eq!(as_python_cut("\"é\"", 3, "…"), "\"\\u…");
    }

    #[test]
    fn is_what_json_dumps_writes() {
        for (json, python) in [
            (
                r#"{"a":1,"b":[1,2.50,true,null],"c":{}}"#,
                r#"{"a": 1, "b": [1, 2.5, true, null], "c": {}}"#,
            ),
            ("{ \"a\" :\n[ ] }", r#"{"a": []}"#),
            (
                r#""é, \"x\": 😀 \u00e9\/""#,
                r#""\u00e9, \"x\": \ud83d\ude00 \u00e9/""#,
            ),
            (r#""a\\""#, r#""a\\""#),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            (
                "[1e16,1e-5,0.0001,1.5e300,-0.0,100.0,1e15]",
                "[1e+16, 1e-05, 0.0001, 1.5e+300, -0.0, 100.0, 1000000000000000.0]",
            ),
        ] {
            assert_eq!(as_python(json), python);
        }
    }
}
