//! Age files as text (PEM, RFC 7468, strict): they survive mails, pastes and terminals.

use super::AgeError;
use base64::{Engine as _, prelude::BASE64_STANDARD};

const BEGIN: &str = "-----BEGIN AGE ENCRYPTED FILE-----";
const END: &str = "-----END AGE ENCRYPTED FILE-----";
const COLUMNS: usize = 64;

/// Whether it is such a text.
pub(super) fn is_armored(file: &[u8]) -> bool {
    file.trim_ascii_start().starts_with(BEGIN.as_bytes())
}

/// The file as text.
pub(super) fn wrap(file: &[u8]) -> String {
    let body = BASE64_STANDARD.encode(file);
    let mut text = format!("{BEGIN}\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(COLUMNS));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text.push_str(END);
    text.push('\n');
    text
}

/// The file that a text is.
pub(super) fn unwrap(text: &[u8]) -> Result<Vec<u8>, AgeError> {
    let broken = || AgeError::Broken("its text is cut off or was changed");
    let text = std::str::from_utf8(text.trim_ascii()).map_err(|_| broken())?;
    let mut lines = text.lines().map(|line| line.strip_suffix('\r').unwrap_or(line));
    if lines.next() != Some(BEGIN) || lines.next_back() != Some(END) {
        return Err(broken());
    }
    let (mut body, mut last) = (String::new(), false);
    for line in lines {
        // Only the last line is shorter, and none is longer: each file has one text.
        if last || line.is_empty() || line.len() > COLUMNS {
            return Err(broken());
        }
        last = line.len() < COLUMNS;
        body.push_str(line);
    }
    BASE64_STANDARD.decode(body).map_err(|_| broken())
}
