use super::*;
use std::{collections::BTreeSet, path::Path};

const NOW: Timestamp = Timestamp(1_795_219_200);

fn authority() -> (Pair, Authority) {
    let pair = new_authority("u@example", NOW).unwrap();
    let loaded = load_authority(&pair.cert, &pair.key).unwrap();
    (pair, loaded)
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|&n| n.to_owned()).collect()
}

/// Runs openssl in a folder; panics when it fails, gives its output. `None` where there is no openssl.
#[track_caller]
fn openssl(dir: &Path, args: &[&str]) -> Option<String> {
    #[expect(clippy::disallowed_methods, reason = "an independent implementation is the judge here")]
    let out = std::process::Command::new("openssl").args(args).current_dir(dir).output().ok()?;
    let text = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "openssl {args:?}: {text}");
    Some(text)
}

fn save(dir: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        #[expect(clippy::disallowed_methods, reason = "files for openssl, in a temporary folder")]
        std::fs::write(dir.join(name), text).unwrap();
    }
}

#[test]
fn an_authority_says_what_it_is() {
    let (pair, authority) = authority();
    assert!(authority.about.authority);
    assert_eq!(authority.about.not_before, NOW.plus(-SKEW));
    assert_eq!(authority.about.not_after, NOW.plus_days(AUTHORITY_DAYS));
    assert_eq!(authority.about.sha256, crate::digest::sha256_hex(pair.cert.as_bytes()));
    assert!(pair.key.starts_with("-----BEGIN PRIVATE KEY-----"));
    assert_ne!(new_authority("u@example", NOW).unwrap().key, pair.key);
}

#[test]
fn what_an_authority_signs_chains_to_it_and_to_no_other() {
    let (_, ours) = authority();
    let (_, other) = authority();
    let server = issue_server(
        &ours,
        "web-1",
        &server_names("Web-1", "::0001", ["a.example"]),
        &[Purpose::Server],
        NOW,
        LEAF_DAYS,
    )
    .unwrap();
    let about = check_pair(&server.cert, &server.key).unwrap();
    assert_eq!(about.names, names(&["127.0.0.1", "::1", "a.example", "localhost", "web-1"]));
    assert_eq!(about.not_after, NOW.plus_days(LEAF_DAYS));
    assert!(about.valid_for(Purpose::Server, NOW, 0) && !about.valid_for(Purpose::Client, NOW, 0));
    assert!(about.signed_by(&ours.about).unwrap());
    assert!(!about.signed_by(&other.about).unwrap(), "an authority of the same name with another key");
    assert!(!about.authority);
    let client = issue_client(&ours, "u", NOW, LEAF_DAYS).unwrap();
    let about = inspect(&client.cert).unwrap();
    assert!(about.signed_by(&ours.about).unwrap());
    assert!(about.valid_for(Purpose::Client, NOW, 30) && !about.valid_for(Purpose::Server, NOW, 30));
    assert!(!about.valid_for(Purpose::Client, NOW, LEAF_DAYS));
}

#[test]
fn a_certificate_does_not_outlive_its_authority_and_an_expired_one_signs_nothing() {
    let (_, authority) = authority();
    let end = authority.about.not_after;
    let late = issue_client(&authority, "u", end.plus_days(-10), LEAF_DAYS).unwrap();
    assert_eq!(inspect(&late.cert).unwrap().not_after, end);
    assert_eq!(issue_client(&authority, "u", end, LEAF_DAYS).unwrap_err(), TlsError::Expired(end));
}

#[test]
fn openssl_accepts_the_chains() {
    let dir = tempfile::tempdir().unwrap();
    let (ca, authority) = authority();
    let server =
        issue_server(&authority, "web-1", &names(&["web-1", "10.0.0.5"]), &[Purpose::Server], NOW, LEAF_DAYS).unwrap();
    let client = issue_client(&authority, "u", NOW, LEAF_DAYS).unwrap();
    save(
        dir.path(),
        &[("ca.pem", &ca.cert), ("server.pem", &server.cert), ("cert.pem", &client.cert), ("key.pem", &server.key)],
    );
    let at = NOW.0.to_string();
    let verify = |args: &[&str]| {
        let mut all = vec!["verify", "-x509_strict", "-attime", &at, "-CAfile", "ca.pem"];
        all.extend(args);
        openssl(dir.path(), &all)
    };
    if verify(&["-purpose", "sslserver", "-verify_hostname", "web-1", "server.pem"]).is_none() {
        return;
    }
    verify(&["-purpose", "sslserver", "-verify_ip", "10.0.0.5", "server.pem"]);
    verify(&["-purpose", "sslclient", "cert.pem"]);
    let text = openssl(dir.path(), &["x509", "-in", "ca.pem", "-noout", "-text"]).unwrap();
    assert!(text.contains("CA:TRUE, pathlen:0"), "{text}");
    openssl(dir.path(), &["pkey", "-in", "key.pem", "-check", "-noout"]);
}

/// The authority of a store that docker-machine made: RSA 2048, PKCS#1, subject `O=u`, no key identifiers.
#[test]
fn an_authority_of_docker_machine_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let config = "[req]\ndistinguished_name=dn\nprompt=no\nx509_extensions=v3\n[dn]\nO=u\n[v3]\nbasicConstraints=critical,CA:TRUE\nkeyUsage=critical,digitalSignature,keyEncipherment,keyAgreement,keyCertSign\nsubjectKeyIdentifier=none\nauthorityKeyIdentifier=none\n";
    save(dir.path(), &[("c.cnf", config)]);
    if openssl(dir.path(), &["genrsa", "-traditional", "-out", "ca-key.pem", "2048"]).is_none() {
        return;
    }
    openssl(
        dir.path(),
        &["req", "-x509", "-new", "-key", "ca-key.pem", "-config", "c.cnf", "-days", "1080", "-out", "ca.pem"],
    );
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert!(read("ca-key.pem").starts_with("-----BEGIN RSA PRIVATE KEY-----"));
    let authority = load_authority(&read("ca.pem"), &read("ca-key.pem")).unwrap();
    // It was made by the real clock just now.
    let now = authority.about.not_before.plus(SKEW);
    let server = issue_server(&authority, "web-1", &names(&["10.0.0.5"]), &[Purpose::Server], now, LEAF_DAYS).unwrap();
    assert!(inspect(&server.cert).unwrap().signed_by(&authority.about).unwrap());
    save(dir.path(), &[("server.pem", &server.cert)]);
    let at = now.plus(60).0.to_string();
    openssl(dir.path(), &["verify", "-attime", &at, "-CAfile", "ca.pem", "-purpose", "sslserver", "server.pem"]);
    // An EC key as `openssl ecparam -genkey` writes it, curve first.
    openssl(dir.path(), &["ecparam", "-genkey", "-name", "prime256v1", "-out", "ec.pem"]);
    assert_eq!(load_authority(&read("ca.pem"), &read("ec.pem")).unwrap_err(), TlsError::Mismatch);
    openssl(
        dir.path(),
        &["req", "-x509", "-new", "-key", "ec.pem", "-config", "c.cnf", "-days", "1080", "-out", "ec-ca.pem"],
    );
    load_authority(&read("ec-ca.pem"), &read("ec.pem")).unwrap();
}

#[test]
fn what_cannot_be_used_is_refused_with_help() {
    let (ca, ours) = authority();
    let (other, _) = authority();
    let leaf = issue_client(&ours, "u", NOW, LEAF_DAYS).unwrap();
    let cut = &ca.cert[..ca.cert.len() / 2];
    for (cert, key, want) in [
        ("", ca.key.as_str(), TlsError::NotPem),
        (cut, &ca.key, TlsError::NotPem),
        (&ca.key, &ca.key, TlsError::NotPem),
        (&ca.cert, "", TlsError::Key),
        (&ca.cert, &ca.cert, TlsError::Key),
        (&ca.cert, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", TlsError::Key),
        (&ca.cert, &other.key, TlsError::Mismatch),
        (&leaf.cert, &leaf.key, TlsError::NotAuthority),
    ] {
        let error = load_authority(cert, key).unwrap_err();
        assert_eq!(error, want);
        assert!(error.help().is_some());
    }
    assert_eq!(check_pair(&leaf.cert, &ca.key).unwrap_err(), TlsError::Mismatch);
    for bad in ["a b", "", "x\n", "é", "*", "a/b"] {
        let error = issue_server(&ours, "m", &names(&[bad]), &[Purpose::Server], NOW, 1).unwrap_err();
        assert_eq!(error, TlsError::Name(bad.to_owned()));
    }
}

/// pain 24.
#[test]
fn no_key_is_in_debug_output() {
    let (ca, authority) = authority();
    let shown = format!("{ca:?}{authority:?}");
    assert!(!shown.contains("PRIVATE") && !shown.contains(ca.key.lines().nth(1).unwrap()));
}
