//! The head of an age file: for whom it is, each in a stanza with the key of the file, and a MAC over all of it.

use super::AgeError;
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};

pub(super) const VERSION: &str = "age-encryption.org/v1";
/// A head is a few hundred bytes for each recipient.
const LIMIT: usize = 1 << 20;
/// Trying one costs a Diffie-Hellman.
const STANZAS: usize = 1000;
const COLUMNS: usize = 64;

/// The file's key, as one recipient can get at it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Stanza {
    /// The kind, and what belongs to it.
    pub(super) args: Vec<String>,
    /// The wrapped key.
    pub(super) body: Vec<u8>,
}

/// A head that was read.
#[derive(Debug)]
pub(super) struct Header<'f> {
    pub(super) stanzas: Vec<Stanza>,
    /// What the MAC is of.
    pub(super) authenticated: &'f [u8],
    pub(super) mac: Vec<u8>,
    /// What follows.
    pub(super) payload: &'f [u8],
}

/// A head up to where its MAC goes.
pub(super) fn unsigned(stanzas: &[Stanza]) -> String {
    let mut text = format!("{VERSION}\n");
    for stanza in stanzas {
        text.push_str("-> ");
        text.push_str(&stanza.args.join(" "));
        text.push('\n');
        let body = BASE64_STANDARD_NO_PAD.encode(&stanza.body);
        let mut rest = body.as_str();
        // The last line is shorter than the others, and empty if need be: it ends the stanza.
        while rest.len() >= COLUMNS {
            let (line, after) = rest.split_at(COLUMNS);
            text.push_str(line);
            text.push('\n');
            rest = after;
        }
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str("---");
    text
}

/// The whole head.
pub(super) fn signed(unsigned: &str, mac: &[u8]) -> String {
    format!("{unsigned} {}\n", BASE64_STANDARD_NO_PAD.encode(mac))
}

/// Lines of a file, with where each begins.
struct Lines<'f> {
    file: &'f [u8],
    at: usize,
}

impl<'f> Lines<'f> {
    fn next(&mut self) -> Result<&'f str, AgeError> {
        let limit = self.file.len().min(LIMIT);
        let rest = self.file.get(self.at..limit).unwrap_or_default();
        let end = rest.iter().position(|b| *b == b'\n');
        let line = match end {
            Some(end) => &rest[..end],
            None if self.file.len() > LIMIT => return Err(AgeError::Broken("its head is longer than 1 MiB")),
            None => return Err(AgeError::Broken("its head is cut off")),
        };
        self.at += line.len() + 1;
        std::str::from_utf8(line).ok().filter(|l| l.is_ascii()).ok_or(AgeError::Broken("its head is not text"))
    }
}

pub(super) fn parse(file: &[u8]) -> Result<Header<'_>, AgeError> {
    let decode = |text: &str| {
        BASE64_STANDARD_NO_PAD.decode(text).map_err(|_| AgeError::Broken("a line of its head is not base64"))
    };
    let mut lines = Lines { file, at: 0 };
    if lines.next().ok() != Some(VERSION) {
        return Err(AgeError::NotAge);
    }
    let mut stanzas = Vec::new();
    loop {
        let begin = lines.at;
        let line = lines.next()?;
        if let Some(mac) = line.strip_prefix("--- ") {
            let authenticated = &file[..begin + "---".len()];
            return Ok(Header { stanzas, authenticated, mac: decode(mac)?, payload: &file[lines.at..] });
        }
        let args = line.strip_prefix("-> ").ok_or(AgeError::Broken("its head has a line that means nothing"))?;
        let args: Vec<String> = args.split(' ').map(str::to_owned).collect();
        if args.iter().any(|arg| arg.is_empty() || !arg.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(AgeError::Broken("its head has a line that means nothing"));
        }
        if stanzas.len() == STANZAS {
            return Err(AgeError::Broken("it is for more than 1000 recipients"));
        }
        let mut body = String::new();
        loop {
            let line = lines.next()?;
            body.push_str(line);
            if line.len() > COLUMNS {
                return Err(AgeError::Broken("a line of its head is too long"));
            }
            if line.len() < COLUMNS {
                break;
            }
        }
        stanzas.push(Stanza { args, body: decode(&body)? });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(file: &[u8]) -> String {
        parse(file).unwrap_err().to_string()
    }

    #[test]
    fn a_head_reads_back_whatever_the_length_of_its_bodies() {
        for length in [0, 32, 47, 48, 49, 96] {
            let stanza = Stanza { args: vec!["X".to_owned(), "y".to_owned()], body: vec![7; length] };
            let head = unsigned(std::slice::from_ref(&stanza));
            let file = [signed(&head, &[1; 32]).as_bytes(), b"rest\n"].concat();
            let read = parse(&file).unwrap();
            assert_eq!((read.stanzas, read.authenticated), (vec![stanza], head.as_bytes()));
            assert_eq!((read.mac, read.payload), (vec![1; 32], &b"rest\n"[..]));
        }
    }

    #[test]
    fn what_is_no_head_is_refused() {
        assert!(matches!(parse(b"{}"), Err(AgeError::NotAge)));
        assert!(why(b"age-encryption.org/v1\n-> X y\n").contains("cut off"));
        assert!(why(b"age-encryption.org/v1\nx\n").contains("means nothing"));
        assert!(why(b"age-encryption.org/v1\n-> X  y\n\n--- AAAA\n").contains("means nothing"));
        assert!(why(b"age-encryption.org/v1\n-> X\nAB\n--- AAAA\n").contains("base64"), "not canonical");
        let long = ["age-encryption.org/v1\n-> X\n", &"A".repeat(65), "\n--- AAAA\n"].concat();
        assert!(why(long.as_bytes()).contains("too long"));
        let endless = ["age-encryption.org/v1\n", &"-> X\n\n".repeat(300_000)].concat();
        assert!(why(endless.as_bytes()).contains("more than 1000"));
        let wide = ["age-encryption.org/v1\n-> ", &"A".repeat(2 << 20)].concat();
        assert!(why(wide.as_bytes()).contains("1 MiB"));
    }
}
