use super::*;
use crate::age::key::{unwrap_with_passphrase, wrap_with_passphrase};
use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD};

fn identity(byte: u8) -> Identity {
    bech32::encode("age-secret-key-", &[byte; 32]).to_ascii_uppercase().parse().unwrap()
}

fn recipients(of: &[u8]) -> Lock {
    Lock::Recipients(of.iter().map(|byte| identity(*byte).recipient()).collect())
}

fn keys(of: u8) -> Key {
    Key::Identities(vec![identity(of)])
}

#[test]
fn each_recipient_opens_it_and_nobody_else() {
    let file = encrypt(&recipients(&[1, 2]), b"a secret").unwrap();
    assert!(is_age(file.as_bytes()) && !file.contains("secret"));
    assert_eq!(opens(file.as_bytes()), Ok(Opens::Identity));
    for of in [1, 2] {
        assert_eq!(**decrypt(&keys(of), file.as_bytes()).unwrap(), *b"a secret");
    }
    assert_eq!(decrypt(&keys(3), file.as_bytes()), Err(AgeError::NoMatch));
    assert_eq!(decrypt(&Key::Passphrase("x".to_owned().into()), file.as_bytes()), Err(AgeError::NoMatch));
}

#[test]
fn any_changed_byte_is_noticed() {
    let text = encrypt(&recipients(&[1]), b"a secret").unwrap();
    let file = armor::unwrap(text.as_bytes()).unwrap();
    assert_eq!(**decrypt(&keys(1), &file).unwrap(), *b"a secret");
    for at in 0..file.len() {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert!(decrypt(&keys(1), &changed).is_err(), "byte {at}");
        assert!(decrypt(&keys(1), &file[..at]).is_err(), "cut at {at}");
    }
}

#[test]
fn a_passphrase_stands_alone_and_its_work_is_bounded() {
    let stanza = wrap_with_passphrase("right", 4, &[7; FILE_KEY]).unwrap();
    assert_eq!(*unwrap_with_passphrase("right", std::slice::from_ref(&stanza)).unwrap(), [7; FILE_KEY]);
    let refused = |stanzas: &[Stanza]| unwrap_with_passphrase("right", stanzas).unwrap_err();
    assert_eq!(unwrap_with_passphrase("wrong", std::slice::from_ref(&stanza)), Err(AgeError::Passphrase));
    assert!(matches!(refused(&[stanza.clone(), stanza.clone()]), AgeError::Broken(_)));
    for (work, wanted) in [("21", 21), ("63", 63), ("4000000000", 4_000_000_000)] {
        let mut absurd = stanza.clone();
        work.clone_into(&mut absurd.args[2]);
        assert_eq!(refused(&[absurd]), AgeError::Work(wanted));
    }
    for work in ["04", "+4", "", "-1", "99999999999"] {
        let mut strange = stanza.clone();
        work.clone_into(&mut strange.args[2]);
        assert!(matches!(refused(&[strange]), AgeError::Broken(_)), "{work}");
    }
}

#[test]
fn points_of_low_order_are_no_recipients() {
    let zero: Recipient = bech32::encode("age", &[0; 32]).parse().unwrap();
    assert!(encrypt(&Lock::Recipients(vec![zero]), b"x").is_err());
    let stanza = Stanza { args: vec!["X25519".to_owned(), BASE64_STANDARD_NO_PAD.encode([0; 32])], body: vec![0; 32] };
    assert!(key::unwrap_with_identities(&[identity(1)], &[stanza]).is_err());
}

#[test]
fn keys_are_read_and_never_shown() {
    let secret = bech32::encode("age-secret-key-", &[5; 32]).to_ascii_uppercase();
    let file = format!("# created: today\n# public key: age1\n\n{secret}\n");
    assert_eq!(Identity::all(&file).unwrap().len(), 1);
    assert_eq!(Identity::all("# none\n").unwrap_err(), AgeError::Identity);
    assert_eq!(Identity::all("hello").unwrap_err(), AgeError::Identity);
    let shown = format!("{:?} {}", identity(5), secret.parse::<Recipient>().unwrap_err());
    assert!(!shown.contains(&secret[16..]), "{shown}");
    for wrong in ["age1", "AGE1QQ", "ssh-ed25519 AAAA", "age1pq1xyz", ""] {
        assert!(wrong.parse::<Recipient>().is_err(), "{wrong}");
    }
}

#[test]
fn a_text_that_was_changed_is_refused() {
    let text = encrypt(&recipients(&[1]), &[3; 300]).unwrap();
    assert!(decrypt(&keys(1), text.replace('\n', "\r\n").as_bytes()).is_ok(), "as mail has lines");
    assert!(decrypt(&keys(1), format!("\n{text}\n").as_bytes()).is_ok());
    for wrong in
        [text.replacen('\n', "\n\n", 2), text.replace("-----END", "----END"), text[..text.len() / 2].to_owned()]
    {
        assert!(matches!(decrypt(&keys(1), wrong.as_bytes()), Err(AgeError::Broken(_))), "{wrong}");
    }
}
