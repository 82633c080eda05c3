//! JSON text as Python's `json.dumps` writes it, which is how people know the values of their actions.

use std::fmt::Write as _;

/// Rewrites a JSON document: `{"a": [1, 2.5]}`, characters beyond ASCII as `\u00e9`, floats as `repr` shows them. Text
/// that is not JSON stays as it is.
pub(crate) fn as_python(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + json.len() / 8);
    let mut rest = json;
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string(rest, &mut text),
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

/// Writes the string that `json` starts with, and says how long it was.
fn string(json: &str, text: &mut String) -> usize {
    let mut escaped = false;
    let end = json[1..].find(|char| {
        let ends = char == '"' && !escaped;
        escaped = char == '\\' && !escaped;
        ends
    });
    let length = end.map_or(json.len(), |end| end + 2);
    let Ok(value) = serde_json::from_str::<String>(&json[..length]) else {
        text.push_str(&json[..length]);
        return length;
    };
    text.push('"');
    for char in value.chars() {
        match char {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='~' => text.push(char),
            // Also beyond the basic plane, where Python writes a pair.
            other => {
                for unit in other.encode_utf16(&mut [0; 2]) {
                    let _ = write!(text, "\\u{unit:04x}");
                }
            }
        }
    }
    text.push('"');
    length
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
    use super::as_python;

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
