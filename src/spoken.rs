//! What libraries call things, in words: the texts of their errors often end in names out of their source.

/// The text, in which `NoCipherSuitesInCommon` is `no cipher suites in common`, and without what a name has in brackets.
#[must_use]
pub fn spoken(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let word = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_').len();
        if word == 0 {
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        let (name, after) = rest.split_at(word);
        rest = after;
        if is_name(name) {
            out.push_str(&words(name));
            rest = without_fields(rest);
        } else {
            out.push_str(name);
        }
    }
    out
}

/// Whether a word is a name made of several, as `UnknownIssuer`, `UnknownCA` or `unknown_ca` in a source are.
fn is_name(word: &str) -> bool {
    let letters = word.as_bytes();
    let humps = letters.windows(2).filter(|two| two[0].is_ascii_lowercase() && two[1].is_ascii_uppercase()).count();
    word.len() > 4 && word.starts_with(|c: char| c.is_ascii_uppercase()) && humps > 0
}

fn words(name: &str) -> String {
    let name = name.strip_suffix("Context").unwrap_or(name);
    let letters: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (n, c) in letters.iter().enumerate() {
        let before = n.checked_sub(1).map(|n| letters[n]);
        let begins = c.is_ascii_uppercase() && before.is_some_and(|b| !b.is_ascii_uppercase())
            || c.is_ascii_uppercase()
                && before.is_some_and(|b| b.is_ascii_uppercase())
                && letters.get(n + 1).is_some_and(char::is_ascii_lowercase);
        if begins {
            out.push(' ');
        }
        // Names of several capitals are those of things, as CA.
        let of_capitals = c.is_ascii_uppercase()
            && (before.is_some_and(|b| b.is_ascii_uppercase())
                || letters.get(n + 1).is_none_or(char::is_ascii_uppercase))
            && letters.get(n + 1).is_none_or(|after| !after.is_ascii_lowercase());
        out.push(if of_capitals { *c } else { c.to_ascii_lowercase() });
    }
    out
}

/// Text without the fields that stand behind a name: ` { a: 1 }`.
fn without_fields(text: &str) -> &str {
    let Some(inner) = text.strip_prefix(" {") else { return text };
    let mut open = 1_usize;
    for (n, c) in inner.char_indices() {
        match c {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return &inner[n + 1..];
        }
    }
    ""
}

/// What a TLS error says.
#[must_use]
pub fn tls(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(why) => format!("its certificate cannot be used: {}", certificate(why)),
        rustls::Error::AlertReceived(alert) => format!("it refused the handshake: {}", spoken(&format!("{alert:?}"))),
        rustls::Error::PeerIncompatible(why) => {
            format!("it speaks another TLS than this program: {}", spoken(&format!("{why:?}")))
        }
        rustls::Error::PeerMisbehaved(why) => format!("it breaks the rules of TLS: {}", spoken(&format!("{why:?}"))),
        rustls::Error::Other(why) => spoken(&why.to_string()),
        other => spoken(&other.to_string()),
    }
}

/// What is wrong with a certificate.
#[must_use]
pub fn certificate(error: &rustls::CertificateError) -> String {
    match error {
        rustls::CertificateError::UnknownIssuer => "it is signed by no trusted authority".to_owned(),
        rustls::CertificateError::BadEncoding => "it is not written as certificates are".to_owned(),
        rustls::CertificateError::Other(why) => spoken(&why.to_string()),
        other => spoken(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};

    #[test]
    fn names_of_a_source_are_words() {
        for (text, want) in [
            ("peer is incompatible: NoCipherSuitesInCommon", "peer is incompatible: no cipher suites in common"),
            ("UnknownCA", "unknown CA"),
            ("CertificateRequired", "certificate required"),
            ("UnsupportedSignatureAlgorithmContext { a: [1, { b: 2 }] }!", "unsupported signature algorithm!"),
            ("InvalidDNSName", "invalid DNS name"),
            ("an IO error: 3 MiB of it is fine, Sir, and v1", "an IO error: 3 MiB of it is fine, Sir, and v1"),
            ("a_b é (x)", "a_b é (x)"),
        ] {
            assert_eq!(spoken(text), want);
        }
    }

    #[test]
    fn no_error_of_tls_reads_like_a_source() {
        let certificates = [
            CertificateError::BadEncoding,
            CertificateError::UnknownIssuer,
            CertificateError::Revoked,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::InvalidPurpose,
            CertificateError::ApplicationVerificationFailure,
            CertificateError::BadSignature,
            CertificateError::Expired,
            CertificateError::NotValidForName,
        ];
        let errors = certificates.into_iter().map(Error::InvalidCertificate).chain([
            Error::AlertReceived(AlertDescription::HandshakeFailure),
            Error::AlertReceived(AlertDescription::Unknown(255)),
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13),
            Error::PeerMisbehaved(PeerMisbehaved::TooMuchEarlyDataReceived),
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::NoCertificatesPresented,
            Error::General("it is odd".to_owned()),
        ]);
        for error in errors {
            let said = tls(&error);
            assert!(said.split(|c: char| !c.is_alphanumeric()).all(|word| !is_name(word)), "{said}");
            assert!(!said.contains(['{', '}']), "{said}");
        }
    }
}
