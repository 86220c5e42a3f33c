//! The few shapes that texts out of an archive may have. None of them can be an option, a path or a command to any
//! program they are given to, in whatever file or shell.

use std::net::IpAddr;

/// Letters, digits and `._-+`, and a letter or digit first.
pub(super) fn plain(text: &str, most: usize) -> bool {
    text.len() <= most
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+~@".contains(&b))
}

/// An address, or a name of DNS.
pub(super) fn host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || text.len() <= 253
            && text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A login name.
pub(super) fn user(text: &str) -> bool {
    text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A port that a server can have.
pub(super) fn port(number: u16) -> bool {
    number != 0
}

/// The URL of an engine on another computer; driver `none` takes a bare word as well.
pub(super) fn url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once("://") else { return host(text) };
    if !["tcp", "http", "https", "ssh"].contains(&scheme) {
        return false;
    }
    let (place, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let path_fine = path.len() <= 200 && path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    let (login, place) = place.rsplit_once('@').map_or((None, place), |(login, place)| (Some(login), place));
    let (name, number) = match place.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, number)) => (name, number.strip_prefix(':')),
        None => place.split_once(':').map_or((place, None), |(name, number)| (name, Some(number))),
    };
    let number_fine = number.is_none_or(|number| number.parse().is_ok_and(port));
    path_fine && number_fine && host(name) && login.is_none_or(|login| scheme == "ssh" && user(login))
}

/// What a certificate can hold: an address, or a name whose first label may be `*`.
pub(super) fn tls_name(text: &str) -> bool {
    let name = text.strip_prefix("*.").unwrap_or(text);
    text.parse::<IpAddr>().is_ok()
        || host(name) && name.split('.').all(|part| !part.is_empty() && !part.ends_with('-') && part.len() < 64)
}

/// A label of an engine.
pub(super) fn label(name: &str, value: &str) -> bool {
    !name.is_empty()
        && !name.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control())
        && !value.contains(char::is_control)
}

/// A digest in hex.
pub(super) fn hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A text in base64, as long as keys are.
pub(super) fn base64(text: &str) -> bool {
    !text.is_empty() && text.len() <= 4096 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_could_take_for_something_else_has_no_shape() {
        let bad = [
            "",
            "-oProxyCommand=x",
            "--x",
            "a b",
            "a\nb",
            "$(x)",
            "`x`",
            "a;b",
            "a|b",
            "%h",
            "a/b",
            "~",
            "../x",
            "a\0",
            "a'b",
            "a\"b",
            "${HOME}",
            "\u{1b}[2J",
            "é",
            "a@-b",
            "fe80::1%eth0",
            "a\\b",
            "x:y:z",
        ];
        for text in bad {
            assert!(!host(text) && !user(text), "{text:?}");
            let path = ["a/b", "../x", "~"].contains(&text);
            assert!(path || !url(&format!("tcp://{text}")), "{text:?}");
            assert!(text == "a@-b" || !plain(text, 99), "{text:?}");
        }
        for url in [
            "unix:///run/docker.sock",
            "fd://",
            "npipe:////./pipe/docker",
            "ssh://-oProxyCommand=x",
            "ssh://-x@h",
            "tcp://",
            "tcp://u@h:1",
            "tcp://h:0",
            "tcp://h:x",
            "tcp://h:1/$(x)",
            "file:///etc/passwd",
            "tcp:/h",
            "ssh://a@b@c",
        ] {
            assert!(!super::url(url), "{url}");
        }
    }

    #[test]
    fn what_machines_have_has_its_shape() {
        for good in ["192.0.2.1", "2001:db8::1", "web-1.example.org", "localhost", "a_b"] {
            assert!(host(good), "{good}");
        }
        for good in
            ["tcp://192.0.2.1:2376", "https://h.example:2376/x", "ssh://root@h:22", "tcp://[::1]:2376", "ssh://h"]
        {
            assert!(url(good), "{good}");
        }
        assert!(user("ubuntu") && user("_apt") && plain("28.2.2-rc.1+dfsg~1", 99) && tls_name("*.example.org"));
        assert!(label("a", "b c") && !label("a=", "b") && !tls_name("*") && !tls_name("a..b"));
    }
}
