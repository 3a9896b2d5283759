//! JSON for people: one member a line, every digit and escape as it stands.
//!
//! Rests on nothing; it moves white space and reads no value, so that no number is rounded on the way to the eye.

/// `json`, which must be well formed, indented by two spaces a level.
pub fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push(c);
                let mut escaped = false;
                for c in chars.by_ref() {
                    out.push(c);
                    match c {
                        '"' if !escaped => break,
                        '\\' => escaped = !escaped,
                        _ => escaped = false,
                    }
                }
            }
            '{' | '[' => {
                out.push(c);
                while chars.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    out.extend(std::iter::repeat_n("  ", depth));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_moves_and_nothing_else() {
        let json = r#"{"a":[1.50, 12345678901234567890123],"b":{},"c": [ ],"s":"x\\\" {,}:","n":null}"#;
        let expect = "{\n  \"a\": [\n    1.50,\n    12345678901234567890123\n  ],\n  \"b\": {},\n  \"c\": [],\n  \"s\": \"x\\\\\\\" {,}:\",\n  \"n\": null\n}";
        assert_eq!(pretty(json), expect);
        assert_eq!(pretty(&pretty(json)), expect, "pretty text stays as it is");
    }
}
