//! Two user data in one: a MIME message, as cloud-init takes it (RFC 2046, `multipart/mixed`).

use super::UserDataError;
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// What cloud-init calls data that begins with a line, longest first where one begins another.
///
/// Source: cloud-init's documentation, "User-data formats".
const KINDS: [(&[u8], &str); 9] = [
    (b"## template: jinja", "text/jinja2"),
    (b"#cloud-config-archive", "text/cloud-config-archive"),
    (b"#cloud-config-jsonp", "text/cloud-config-jsonp"),
    (b"#cloud-config", "text/cloud-config"),
    (b"#cloud-boothook", "text/cloud-boothook"),
    (b"#part-handler", "text/part-handler"),
    (b"#include-once", "text/x-include-once-url"),
    (b"#include", "text/x-include-url"),
    (b"#!", "text/x-shellscript"),
];

/// Bytes that begin what gzip has compressed (RFC 1952).
const GZIP: [u8; 2] = [0x1f, 0x8b];
const LINE: usize = 76;

/// The content type of a user's data.
pub(super) fn kind(own: &[u8]) -> Result<&'static str, UserDataError> {
    if own.iter().all(u8::is_ascii_whitespace) {
        return Err(UserDataError::Empty);
    }
    if own.starts_with(&GZIP) {
        // It looks inside, and at what is in there once more.
        return Ok("application/gzip");
    }
    std::str::from_utf8(own).map_err(|_| UserDataError::NotText)?;
    let first = own.split(|b| *b == b'\n').next().unwrap_or_default().to_ascii_lowercase();
    if first.starts_with(b"content-type:") || first.starts_with(b"mime-version:") {
        return Ok("message/rfc822");
    }
    let known = KINDS.iter().find(|(begin, _)| first.starts_with(begin));
    known.map(|(_, kind)| *kind).ok_or(UserDataError::Unknown)
}

/// One message of both. Ours comes first, and the user's is merged so that lists of both are joined and where both say
/// one thing, ours stays.
pub(super) fn message(ours: &[u8], own: &[u8]) -> Result<Vec<u8>, UserDataError> {
    const MERGE: &str = "Merge-Type: list(append)+dict(no_replace,recurse_list)+str()\n";
    // Base64 has no `-`, so no part can hold the boundary.
    const BOUNDARY: &str = "--machine--";
    let parts = [("text/cloud-config", "", ours), (kind(own)?, MERGE, own)];
    let mut text = format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{BOUNDARY}\"\n\n");
    for (kind, merge, data) in parts {
        text.push_str(&format!(
            "--{BOUNDARY}\nContent-Type: {kind}; charset=\"utf-8\"\n{merge}Content-Transfer-Encoding: base64\n\n"
        ));
        for line in STANDARD.encode(data).as_bytes().chunks(LINE) {
            text.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
            text.push('\n');
        }
    }
    text.push_str(&format!("--{BOUNDARY}--\n"));
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_gave_is_told_from_its_first_line() {
        for (own, want) in [
            (&b"#cloud-config\nruncmd: []"[..], Ok("text/cloud-config")),
            (b"#cloud-config-archive\n- x", Ok("text/cloud-config-archive")),
            (b"#!/bin/sh\ntrue", Ok("text/x-shellscript")),
            (b"## template: jinja\n#cloud-config\n", Ok("text/jinja2")),
            (b"MIME-Version: 1.0\nContent-Type: multipart/mixed", Ok("message/rfc822")),
            (&[0x1f, 0x8b, 8, 0], Ok("application/gzip")),
            (b" \n", Err(UserDataError::Empty)),
            (b"hostname: x", Err(UserDataError::Unknown)),
            (&[b'#', b'!', 0xff], Err(UserDataError::NotText)),
        ] {
            assert_eq!(kind(own), want, "{}", String::from_utf8_lossy(own));
        }
    }

    #[test]
    fn both_parts_come_out_as_they_went_in() {
        let own = format!("#cloud-config\n# {}\n--machine--\n", "ä".repeat(200));
        let text = String::from_utf8(message(b"#cloud-config\n{}\n", own.as_bytes()).unwrap()).unwrap();
        assert!(text.lines().all(|line| line.len() <= 100 && line.is_ascii()));
        let parts: Vec<&str> = text.split("----machine--").collect();
        assert_eq!(parts.len(), 4, "before, ours, theirs, after");
        let body = |part: &str| STANDARD.decode(part.split_once("\n\n").unwrap().1.replace('\n', "")).unwrap();
        assert_eq!((body(parts[1]), body(parts[2])), (b"#cloud-config\n{}\n".to_vec(), own.into_bytes()));
    }
}
