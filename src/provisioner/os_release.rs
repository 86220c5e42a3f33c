//! Reading os-release(5). It knows no distribution.

use serde::{Deserialize, Serialize};

/// The parts of `/etc/os-release` that tell distributions apart (os-release(5)).
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct OsRelease {
    /// `ID`, lower case; `linux` when it is not said, as os-release(5) has it.
    pub id: String,
    /// The words of `ID_LIKE`, lower case.
    pub id_like: Vec<String>,
    /// `VERSION_ID`.
    pub version_id: String,
    /// `VERSION_CODENAME`.
    pub codename: String,
    /// `UBUNTU_CODENAME` or `DEBIAN_CODENAME`: the release a derivative is built on.
    #[serde(default)]
    pub base_codename: String,
    /// `PRETTY_NAME`.
    pub pretty_name: String,
}

impl OsRelease {
    /// Reads the file's text. Lines that are no assignments are passed over, as a shell's reader must.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut os = Self { id: "linux".to_owned(), ..Self::default() };
        for (key, value) in text.lines().filter_map(assignment) {
            match key {
                "ID" if !value.is_empty() => os.id = value.to_lowercase(),
                "ID_LIKE" => os.id_like = value.split_whitespace().map(str::to_lowercase).collect(),
                "VERSION_ID" => os.version_id = value,
                "VERSION_CODENAME" => os.codename = value,
                "UBUNTU_CODENAME" | "DEBIAN_CODENAME" => os.base_codename = value,
                "PRETTY_NAME" => os.pretty_name = value,
                _ => {}
            }
        }
        os
    }
}

fn assignment(line: &str) -> Option<(&str, String)> {
    let (key, value) = line.trim().split_once('=')?;
    let name = !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    name.then(|| (key, unquote(value)))
}

/// One word of a shell: quotes, escapes; it ends at an unquoted blank. Control characters are dropped.
fn unquote(value: &str) -> String {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, c) if c.is_whitespace() => break,
            (None, '\\') => word.extend(chars.next()),
            (Some('"'), '\\') => match chars.next() {
                Some(c @ ('"' | '\\' | '$' | '`')) => word.push(c),
                Some(c) => word.extend(['\\', c]),
                None => word.push('\\'),
            },
            (_, c) => word.push(c),
        }
    }
    word.retain(|c| !c.is_control());
    word
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;

    #[track_caller]
    fn id(text: &str, want: &str) {
        assert_eq!(OsRelease::parse(text).id, want, "{text:?}");
    }

    /// Pain 23: what docker-machine's reader got wrong or crashed on.
    #[test]
    fn every_way_to_write_an_id_is_read() {
        id("ID=debian", "debian");
        id("ID=\"debian\"", "debian");
        id("ID='ubuntu'\r\n", "ubuntu");
        id("# ID=arch\n  ID=debian  # not this\n", "debian");
        id("ID=Debian\nBUG_REPORT_URL=\"https://x/?a=b&c=d\"", "debian");
        id("ID=\"", "linux");
        id("ID=debian\nID=", "debian");
        id("", "linux");
        id("export ID=debian", "linux");
        id("ID=d\\e'b'\"ian\"", "debian");
    }

    #[test]
    fn values_are_unescaped_and_carry_no_control_characters() {
        let os = OsRelease::parse("PRETTY_NAME=\"a \\\"b\\\" \\$c \\x \u{1b}[31m\"\nID_LIKE='Ubuntu  debian'");
        assert_eq!(os.pretty_name, "a \"b\" $c \\x [31m");
        assert_eq!(os.id_like, ["ubuntu", "debian"]);
    }

    proptest! {
        #![proptest_config(properties(128))]
        #[test]
        fn what_was_quoted_is_read_back(value in "[ -~]{0,20}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('`', "\\`");
            prop_assert_eq!(OsRelease::parse(&format!("PRETTY_NAME=\"{quoted}\"")).pretty_name, value);
        }
    }
}
