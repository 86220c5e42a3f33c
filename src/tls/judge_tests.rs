use super::{
    AUTHORITY_DAYS, LEAF_DAYS, Pair, Purpose, SKEW, again, inspect, issue_client, issue_server,
    judge::{self, Flaw, Found, Standing},
    load_authority, new_authority, server_names,
};
use crate::clock::Timestamp;

const NOW: Timestamp = Timestamp(1_795_219_200);

#[expect(clippy::unnecessary_wraps, reason = "a file that cannot be read is an error")]
fn there(text: &str) -> Found {
    Ok(Some(text.as_bytes().to_vec()))
}

fn made(now: Timestamp) -> (Pair, Pair) {
    let ca = new_authority("x", now).unwrap();
    let authority = load_authority(&ca.cert, &ca.key).unwrap();
    let client = issue_client(&authority, "u", now, LEAF_DAYS).unwrap();
    (ca, client)
}

/// What damage does to bytes, and whether the file is still good for both programs that read it.
fn damages(whole: &str, other: &str, of_another_kind: &str) -> Vec<(&'static str, Vec<u8>, bool)> {
    let half = &whole.as_bytes()[..whole.len() / 2];
    vec![
        ("as it was", whole.as_bytes().to_vec(), true),
        ("with the ends of lines of Windows", whole.replace('\n', "\r\n").into_bytes(), true),
        ("with a text before it", format!("# made by hand\n{whole}").into_bytes(), true),
        ("truncated", half.to_vec(), false),
        ("empty", Vec::new(), false),
        ("blank", b"\n \n".to_vec(), false),
        ("binary", (0..=255).collect(), false),
        ("zeroes", vec![0; 700], false),
        ("of another", other.as_bytes().to_vec(), false),
        ("of another kind", of_another_kind.as_bytes().to_vec(), false),
        ("twice, the second half", [whole.as_bytes(), half].concat(), false),
    ]
}

#[test]
fn damaged_certificates_are_told_from_whole_ones() {
    let (ca, client) = made(NOW);
    let (other_ca, other) = made(NOW);
    let about = inspect(&ca.cert).unwrap();
    for (how, bytes, good) in damages(&client.cert, &other.cert, &client.key) {
        let found = Ok(Some(bytes));
        let judged = judge::leaf(&found, &there(&client.key), Purpose::Client, Some(&about), NOW, 30);
        assert_eq!(judged.is_sound(), good, "a client's certificate {how}: {judged:?}");
    }
    for (how, bytes, good) in damages(&ca.cert, &other_ca.cert, &ca.key) {
        let judged = judge::authority(&Ok(Some(bytes)), &there(&ca.key), NOW, 30);
        assert_eq!(judged.is_sound(), good, "an authority {how}: {judged:?}");
        let standing = judge::standing(&judged);
        let want = match (good, how) {
            (true, _) => Standing::Sound,
            (false, "of another") => Standing::Mixed,
            _ => Standing::Again,
        };
        assert_eq!(standing, want, "an authority {how}");
    }
    // Two whole ones in one file are what a bundle is.
    let both = there(&format!("{}{}", ca.cert, other_ca.cert));
    assert!(judge::authority(&both, &there(&ca.key), NOW, 30).is_sound());
}

#[test]
fn damaged_keys_are_told_from_whole_ones() {
    let (ca, client) = made(NOW);
    let (_, other) = made(NOW);
    let about = inspect(&ca.cert).unwrap();
    for (how, bytes, good) in damages(&client.key, &other.key, &client.cert) {
        // A second block is read by no program.
        let good = good || how == "twice, the second half";
        let found = Ok(Some(bytes));
        let judged = judge::leaf(&there(&client.cert), &found, Purpose::Client, Some(&about), NOW, 30);
        assert_eq!((judged.cert.is_none(), judged.is_sound()), (true, good), "a key {how}: {judged:?}");
    }
    // Swapped with each other.
    let judged = judge::leaf(&there(&client.key), &there(&client.cert), Purpose::Client, None, NOW, 30);
    assert!(judged.cert.is_some() && judged.key.is_some(), "{judged:?}");
}

#[test]
fn each_flaw_has_a_name() {
    let (ca, client) = made(NOW);
    let (other_ca, _) = made(NOW);
    let authority = load_authority(&ca.cert, &ca.key).unwrap();
    let server = issue_server(&authority, "m", &server_names("m", "", []), &[Purpose::Server], NOW, LEAF_DAYS).unwrap();
    let leaf = |pair: &Pair, ca: &Pair, now| {
        let about = inspect(&ca.cert).unwrap();
        judge::leaf(&there(&pair.cert), &there(&pair.key), Purpose::Client, Some(&about), now, 30).cert
    };
    let ends = NOW.plus_days(LEAF_DAYS);
    assert_eq!(leaf(&client, &ca, NOW), None);
    assert_eq!(leaf(&client, &other_ca, NOW), Some(Flaw::OtherAuthority));
    assert_eq!(leaf(&server, &ca, NOW), Some(Flaw::OtherPurpose));
    assert_eq!(leaf(&client, &ca, ends), Some(Flaw::Ends(ends)));
    assert_eq!(leaf(&client, &ca, ends.plus_days(-30)), Some(Flaw::Ends(ends)));
    assert_eq!(leaf(&client, &ca, ends.plus_days(-30).plus(-1)), None);
    // Validity begins a margin before now; clocks that differ by less than another margin disagree on nothing.
    let begins = NOW.plus(-SKEW);
    assert_eq!(leaf(&client, &ca, begins.plus(-SKEW)), None);
    assert_eq!(leaf(&client, &ca, begins.plus(-SKEW - 1)), Some(Flaw::NotYet(begins)));
    let found: Found = Err("permission denied".to_owned());
    let judged = judge::authority(&there(&ca.cert), &found, NOW, 30);
    assert_eq!(judged.key, Some(Flaw::NoAccess("permission denied".to_owned())));
    assert_eq!(judge::standing(&judged), Standing::Lost);
    let said = Flaw::NotYet(begins).to_string();
    assert_eq!(said, "not valid before 2026-11-20T23:55:00Z; is the clock of this computer right?");
}

/// What was signed stays signed, by name, key and signature, as openssl sees it too.
#[test]
fn an_authority_of_the_future_is_made_again_for_its_key() {
    let late = NOW.plus_days(4 * 365);
    let (ca, client) = made(late);
    let judged = judge::authority(&there(&ca.cert), &there(&ca.key), NOW, 30);
    assert_eq!(judge::standing(&judged), Standing::Again);
    let now = again(&ca.key, judged.about.as_ref(), "unused", NOW).unwrap();
    let about = inspect(&now.cert).unwrap();
    assert_eq!((about.not_before, about.not_after), (NOW.plus(-SKEW), NOW.plus_days(AUTHORITY_DAYS)));
    assert!(inspect(&client.cert).unwrap().signed_by(&about).unwrap());
    assert_eq!(now.key, ca.key);
    assert!(judge::authority(&there(&now.cert), &there(&now.key), NOW, 30).is_sound());
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [("ca.pem", &now.cert), ("cert.pem", &client.cert)] {
        #[expect(clippy::disallowed_methods, reason = "files for openssl, in a temporary folder")]
        std::fs::write(dir.path().join(name), text).unwrap();
    }
    let at = late.plus(60).0.to_string();
    #[expect(clippy::disallowed_methods, reason = "an independent implementation is the judge here")]
    let openssl = std::process::Command::new("openssl")
        .args(["verify", "-x509_strict", "-attime", &at, "-CAfile", "ca.pem", "-purpose", "sslclient", "cert.pem"])
        .current_dir(dir.path())
        .output();
    if let Ok(said) = openssl {
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    }
    // Once more, it has another number: two certificates of one issuer must differ in that.
    let later = again(&ca.key, Some(&about), "unused", NOW.plus(1)).unwrap();
    assert_ne!(later.cert, now.cert);
}

/// Every pair of states that the two files of an authority can be in.
#[test]
fn what_can_become_of_an_authority_depends_on_its_key() {
    let future = made(NOW.plus_days(1000)).0;
    let past = made(NOW.plus_days(-AUTHORITY_DAYS)).0;
    let (sound, other) = (made(NOW).0, made(NOW).0);
    let judge_of = |cert: Found, key: Found| judge::standing(&judge::authority(&cert, &key, NOW, 30));
    for (pair, own) in [(&sound, Standing::Sound), (&future, Standing::Again), (&past, Standing::New)] {
        for (key, want) in [
            (there(&pair.key), own),
            (there(&other.key), Standing::Mixed),
            (there("x"), Standing::Lost),
            (Ok(None), Standing::Lost),
        ] {
            assert_eq!(judge_of(there(&pair.cert), key), want);
        }
    }
    for cert in [there("x"), Ok(None), there("")] {
        let absent = !matches!(&cert, Ok(Some(bytes)) if !bytes.is_empty());
        assert_eq!(judge_of(cert.clone(), there(&sound.key)), Standing::Again);
        assert_eq!(judge_of(cert.clone(), there("x")), Standing::Lost);
        assert_eq!(judge_of(cert, Ok(None)), if absent { Standing::New } else { Standing::Lost });
    }
}
