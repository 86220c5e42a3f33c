//! Variables of dockerd's environment: what they may be called and hold, and how they are shown to people.

/// Why a variable cannot be set; `None` when it can. What systemd refuses is refused here, where it can be said
/// (systemd.exec(5), `Environment=`).
#[must_use]
pub fn problem(name: &str, value: &str) -> Option<String> {
    if !is_name(name) {
        return Some(format!("`{name}` cannot be the name of a variable"));
    }
    let strange = |c: char| c.is_control() && c != '\n' && c != '\t';
    value.contains(strange).then(|| format!("the value of `{name}` has control characters"))
}

/// Letters, digits and `_`, and no digit first (POSIX, XBD 8.1).
#[must_use]
pub fn is_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A value as people may see it: a proxy is often given with its password, and not always with its scheme.
#[must_use]
pub fn shown(value: &str) -> String {
    if value.contains("://") { without_passwords(value) } else { masked(value) }
}

/// Any text, with `***` for the passwords of all URLs in it.
#[must_use]
pub fn without_passwords(text: &str) -> String {
    let mut pieces = text.split("://");
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |done, piece| {
        // A password should have no `/`, but who writes one there has it hidden as well.
        let end = piece.find(|c: char| c.is_whitespace() || "\"'<>".contains(c)).unwrap_or(piece.len());
        done + "://" + &masked(&piece[..end]) + &piece[end..]
    })
}

/// `user:***@rest` of `user:password@rest`; anything else as it is.
fn masked(authority: &str) -> String {
    let user = authority.rsplit_once('@').and_then(|(login, rest)| Some((login.split_once(':')?.0, rest)));
    user.map_or_else(|| authority.to_owned(), |(user, rest)| format!("{user}:***@{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_are_those_systemd_takes() {
        for good in ["HTTP_PROXY", "no_proxy", "_", "A1"] {
            assert_eq!(problem(good, "a b\n\tc é %$\"\\'"), None, "{good}");
        }
        for bad in ["", "1A", "A-B", "A B", "A=B", "É", "A\n"] {
            assert!(problem(bad, "x").is_some(), "{bad}");
        }
        assert_eq!(problem("A", "x\u{7}").as_deref(), Some("the value of `A` has control characters"));
        assert!(problem("A", "\0").is_some() && problem("A", "\r").is_some());
    }

    #[test]
    fn a_password_in_a_url_is_not_shown() {
        for (value, want) in [
            ("http://proxy:3128", "http://proxy:3128"),
            ("http://user@proxy:3128", "http://user@proxy:3128"),
            ("http://user:s3cret@proxy:3128/x", "http://user:***@proxy:3128/x"),
            ("http://user:s3/c:r@t@proxy", "http://user:***@proxy"),
            ("user:s3cret@proxy:3128", "user:***@proxy:3128"),
            ("localhost,10.0.0.0/8", "localhost,10.0.0.0/8"),
            ("http://a:s3cret@x https://b:s3cret@y", "http://a:***@x https://b:***@y"),
            ("", ""),
        ] {
            assert_eq!(shown(value), want);
        }
        assert_eq!(
            without_passwords(r#"{"http-proxy":"http://u:s3cret@h","x":"a:b@c"}"#),
            r#"{"http-proxy":"http://u:***@h","x":"a:b@c"}"#
        );
    }
}
