use super::{super::kit::PENDING, *};
use crate::{
    clock::FixedClock,
    record::{MachineRecord, OptionValues},
    store::{
        memory::MemoryStore,
        plain::{self, Plain, now},
    },
    tls::{LEAF_DAYS, inspect, load_authority, new_authority, server_names},
};
use std::{os::unix::fs::PermissionsExt as _, path::Path, thread};

const NOW: Timestamp = Timestamp(1_795_219_200);

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";

/// With the files of the store.
fn ensure(store: &Store, clock: &dyn Clock) -> Result<Identity, AuthorityError> {
    Ok(now(super::ensure(store, &AuthFiles::of_store(store.files.root()), clock))?.0)
}

fn at(now: Timestamp) -> FixedClock {
    FixedClock(now)
}

fn text(store: &Store, file: &str) -> String {
    String::from_utf8(now(store.files.read(Area::Certs, file)).unwrap().unwrap()).unwrap()
}

fn put(store: &Store, file: &str, content: &str) {
    let mode = if file.ends_with("key.pem") { Mode::Private } else { Mode::Public };
    now(store.files.write(Area::Certs, &[(file, content.as_bytes(), mode)])).unwrap();
}

/// The files are what was returned, and everything belongs together.
#[track_caller]
fn sound(store: &Store, identity: &Identity, now: Timestamp) {
    let authority = load_authority(&text(store, CA), &text(store, CA_KEY)).unwrap();
    assert_eq!(authority.cert_pem, identity.ca);
    assert_eq!((text(store, CERT), text(store, KEY)), (identity.cert.clone(), identity.key.clone()));
    let client = tls::check_pair(&identity.cert, &identity.key).unwrap();
    assert!(client.signed_by(&authority.about).unwrap());
    assert!(client.valid_for(Purpose::Client, now, 0));
}

/// pain 10: parallel first runs on an empty store make one authority, and all clients chain to it.
#[test]
fn fifty_first_runs_make_one_authority() {
    let dir = tempfile::tempdir().unwrap();
    let store = plain::folder(dir.path());
    let identities: Vec<Identity> = thread::scope(|scope| {
        let workers: Vec<_> = (0..50).map(|_| scope.spawn(|| ensure(&store, &at(NOW)).unwrap())).collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    sound(&store, &identities[0], NOW);
    assert!(identities.iter().all(|identity| *identity == identities[0]));
    for (file, mode) in [(CA, 0o644), (CA_KEY, 0o600), (CERT, 0o644), (KEY, 0o600), (PENDING, 0o600)] {
        let found = std::fs::metadata(dir.path().join("certs").join(file)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found & !mode, 0, "{file} is {found:o}");
    }
    assert_eq!(text(&store, PENDING), "", "no key is left lying about");
}

#[test]
fn when_all_is_well_nothing_is_written() {
    let store = plain::memory();
    let first = ensure(&store, &at(NOW)).unwrap();
    let writes = store.backend.writes();
    store.backend.set_fuse(Some(0));
    assert_eq!(ensure(&store, &at(NOW.plus_days(LEAF_DAYS - RENEW_DAYS - 1))).unwrap(), first);
    assert_eq!(store.backend.writes(), writes);
}

/// A store with the files of another.
fn copy_of(store: &Store) -> Plain<MemoryStore> {
    let copy = plain::memory();
    for file in [CA, CA_KEY, CERT, KEY] {
        put(&copy, file, &text(store, file));
    }
    copy
}

/// pain 17: what runs out is renewed before it does, and never leaves a broken chain.
#[test]
fn what_runs_out_is_renewed() {
    let original = plain::memory();
    let first = ensure(&original, &at(NOW)).unwrap();
    let client_ends = NOW.plus_days(LEAF_DAYS);
    let authority_ends = inspect(&first.ca).unwrap().not_after;
    for (now, same_authority) in [
        (client_ends.plus_days(-RENEW_DAYS), true),
        (client_ends.plus_days(100), true),
        (authority_ends.plus_days(-RENEW_DAYS), false),
        (authority_ends.plus_days(400), false),
    ] {
        let store = copy_of(&original);
        let renewed = ensure(&store, &at(now)).unwrap();
        sound(&store, &renewed, now);
        assert_ne!(renewed.cert, first.cert);
        assert_eq!(renewed.ca == first.ca, same_authority, "at {now}");
    }
}

/// pain 10: what racing docker-machines leave is put right.
#[test]
fn a_client_that_does_not_chain_is_issued_anew() {
    let (original, other) = (plain::memory(), plain::memory());
    let first = ensure(&original, &at(NOW)).unwrap();
    let strange = ensure(&other, &at(NOW)).unwrap();
    for files in [&[(CERT, &strange.cert), (KEY, &strange.key)][..], &[(KEY, &strange.key)]] {
        let store = copy_of(&original);
        for (file, content) in files {
            put(&store, file, content);
        }
        let renewed = ensure(&store, &at(NOW)).unwrap();
        sound(&store, &renewed, NOW);
        assert_eq!(renewed.ca, first.ca);
    }
}

/// pain 9 for certificates: a crash between any two writes is repaired by the next run.
#[test]
fn a_crash_anywhere_is_finished_by_the_next_run() {
    let original = plain::memory();
    let first = ensure(&original, &at(NOW)).unwrap();
    let late = inspect(&first.ca).unwrap().not_after;
    for (now, start) in [(NOW, None), (late, Some(&original))] {
        for lossy in [false, true] {
            for writes in 0.. {
                let store = start.map_or_else(plain::memory, |from| copy_of(from));
                let fuse = if lossy { MemoryStore::set_lossy_fuse } else { MemoryStore::set_fuse };
                fuse(&store.backend, Some(writes));
                let result = ensure(&store, &at(now));
                store.backend.set_fuse(None);
                let identity = ensure(&store, &at(now)).unwrap();
                sound(&store, &identity, now);
                assert_eq!(text(&store, PENDING), "");
                if let Ok(made) = result {
                    assert_eq!(made, identity);
                    assert_eq!(writes, 6, "a note, four files, and that it is done");
                    break;
                }
            }
        }
    }
}

/// A store whose files are those of another, but for some.
fn changed(files: &[(&str, Option<&[u8]>)]) -> (Plain<MemoryStore>, Identity) {
    let original = plain::memory();
    let first = ensure(&original, &at(NOW)).unwrap();
    let store = plain::memory();
    for file in [CA, CA_KEY, CERT, KEY] {
        match files.iter().find(|(changed, _)| *changed == file) {
            Some((_, None)) => {}
            Some((_, Some(content))) => store.write(Area::Certs, file, content, Mode::Private).unwrap(),
            None => put(&store, file, &text(&original, file)),
        }
    }
    (store, first)
}

#[track_caller]
fn refused(files: &[(&str, Option<&[u8]>)], message: &str) {
    let (store, _) = changed(files);
    let writes = store.backend.writes();
    let error = ensure(&store, &at(NOW)).unwrap_err();
    let shown = error.to_string().replace(&store.root().join("certs").display().to_string(), "…");
    assert_eq!(shown, message);
    assert!(error.help().is_some());
    assert_eq!(store.backend.writes(), writes, "nothing is changed");
}

/// Without its key an authority issues nothing, and a new one is for a person to decide.
#[test]
fn an_authority_without_its_key_is_explained_and_left_alone() {
    let cannot = |why: &str| format!("the authority can issue no certificate: {why}");
    let unreadable = "the private key cannot be read; it must be an unencrypted RSA or ECDSA key in PEM";
    let other = new_authority("x", NOW).unwrap();
    refused(&[(CA_KEY, None)], &cannot("…/ca-key.pem: it is not there, or empty"));
    refused(&[(CA_KEY, Some(b"x"))], &cannot(&format!("…/ca-key.pem: {unreadable}")));
    refused(&[(CA, Some(b"x")), (CA_KEY, Some(b"x"))], &cannot(&format!("…/ca-key.pem: {unreadable}")));
    refused(
        &[(CA_KEY, Some(other.key.as_bytes()))],
        &cannot("…/ca-key.pem: the private key does not belong to the certificate"),
    );
}

/// Files of a folder that are kept beside others, with what is in them.
fn kept(store: &Plain<MemoryStore>, names: &[&str]) -> Vec<(String, Vec<u8>)> {
    let of = |name: &&str| {
        let kept = format!("{name}.damaged-2026-11-21");
        let content = store.read(Area::Certs, &kept).unwrap()?;
        assert_eq!(store.backend.mode(Area::Certs, &kept), Some(Mode::Private), "{kept}");
        Some(((*name).to_owned(), content))
    };
    names.iter().filter_map(of).collect()
}

/// Files that are changed, and whether the authority's certificate stays.
type Case<'a> = (&'a [(&'a str, Option<&'a [u8]>)], bool);

/// What the authority's key still vouches for is made again; what was damaged stays beside it.
#[test]
fn what_is_damaged_is_made_again() {
    let binary: &[u8] = &[0xff, 0, 0x80];
    let cases: [Case<'_>; 9] = [
        (&[(CA, None)], false),
        (&[(CA, Some(binary))], false),
        (&[(CERT, None)], true),
        (&[(KEY, None)], true),
        (&[(CERT, Some(b"")), (KEY, Some(b""))], true),
        (&[(CERT, Some(binary))], true),
        (&[(KEY, Some(b"x"))], true),
        (&[(CA, Some(b"x")), (CERT, Some(b"y")), (KEY, Some(b"z"))], false),
        (&[(CA, None), (CA_KEY, None), (CERT, Some(b"y"))], false),
    ];
    for (files, same_authority) in cases {
        let (store, first) = changed(files);
        let repaired = ensure(&store, &at(NOW)).unwrap();
        sound(&store, &repaired, NOW);
        assert_eq!(repaired.ca == first.ca, same_authority, "{files:?}");
        for (name, content) in files {
            let content = content.filter(|content| !content.is_empty());
            let want: Vec<_> = content.map(|content| ((*name).to_owned(), content.to_vec())).into_iter().collect();
            assert_eq!(kept(&store, &[name]), want, "{files:?}");
        }
        let writes = store.backend.writes();
        assert_eq!(ensure(&store, &at(NOW)).unwrap(), repaired);
        assert_eq!(store.backend.writes(), writes, "once is enough");
    }
}

/// The same key: what engines have goes on to be signed by it. From a machine's copy it comes back as it was.
#[test]
fn the_certificate_of_an_authority_comes_back_from_a_copy() {
    let other = new_authority("x", NOW).unwrap();
    for damage in [None, Some(b"x".as_slice()), Some(other.cert.as_bytes())] {
        let (store, first) = changed(&[(CA, damage)]);
        let machine = MachineName::new("m").unwrap();
        store.put(&MachineRecord::new(machine.clone(), None, "none", OptionValues::new())).unwrap();
        store.write(Area::Machine(&machine), CA, first.ca.as_bytes(), Mode::Public).unwrap();
        let (repaired, deeds) = now(super::ensure(&store, &AuthFiles::of_store(&store.root()), &at(NOW))).unwrap();
        assert_eq!(repaired, first);
        assert!(matches!(&deeds[..], [.., Deed::RestoredAuthority(_, from)] if *from == machine), "{deeds:?}");
        sound(&store, &repaired, NOW);
    }
    let (store, first) = changed(&[(CA, None)]);
    let repaired = ensure(&store, &at(NOW)).unwrap();
    assert_ne!(repaired.ca, first.ca);
}

/// A clock that was wrong by years, before or after: one run, and all is as it should be by the clock of now.
#[test]
fn clocks_that_were_wrong_end_in_one_run() {
    const YEARS: i64 = 4 * 365;
    for made in [-YEARS, 0, YEARS] {
        for now in [-YEARS, 0, YEARS] {
            let (made, now) = (NOW.plus_days(made), NOW.plus_days(now));
            let store = plain::memory();
            let first = ensure(&store, &at(made)).unwrap();
            let key = text(&store, CA_KEY);
            let repaired = ensure(&store, &at(now)).unwrap();
            sound(&store, &repaired, now);
            let about = inspect(&repaired.ca).unwrap();
            assert!(about.not_before <= now && about.not_after > now.plus_days(RENEW_DAYS), "{made} → {now}");
            assert_eq!(text(&store, CA_KEY), key, "the authority is the same one");
            assert!(inspect(&first.cert).unwrap().signed_by(&about).unwrap(), "{made} → {now}");
            assert_eq!(repaired.ca == first.ca, made <= now);
            let writes = store.backend.writes();
            ensure(&store, &at(now)).unwrap();
            assert_eq!(store.backend.writes(), writes);
        }
    }
}

/// What people keep elsewhere is theirs: it is named, and stays as it is.
#[test]
fn what_lies_outside_of_the_store_is_never_rewritten() {
    let store = plain::memory();
    let files = own(Path::new("/nowhere"));
    now(super::ensure(&store, &files, &at(NOW))).unwrap();
    let late = inspect(&String::from_utf8(now(auth::read(&store, &files.ca_cert)).unwrap().unwrap()).unwrap()).unwrap();
    for (path, when) in [
        (Some(&files.ca_cert), NOW),
        (Some(&files.client_cert), NOW),
        (Some(&files.client_key), NOW),
        (None, NOW.plus_days(-1000)),
        (None, NOW.plus_days(LEAF_DAYS)),
        (None, late.not_after),
    ] {
        let before = path.map(|path| now(auth::read(&store, path)).unwrap().unwrap());
        let write = |path: &Path, content: &[u8]| {
            let root = store.root();
            let (area, name) = auth::place(&root, path);
            store.write(area, name, content, Mode::Private).unwrap();
        };
        if let Some(path) = path {
            write(path, b"x");
        }
        let writes = store.backend.writes();
        let error = now(super::ensure(&store, &files, &at(when))).unwrap_err();
        assert!(matches!(error, AuthorityError::Foreign { .. }), "{error}");
        assert!(error.help().unwrap().contains("/nowhere/"), "{error}");
        assert_eq!(store.backend.writes(), writes, "nothing is changed");
        if let (Some(path), Some(before)) = (path, before) {
            write(path, &before);
        }
    }
    // What is asked for in so many words is done.
    now(super::renew_client(&store, &files, &at(NOW))).unwrap();
    let error = now(super::renew_authority(&store, &files, &at(NOW))).unwrap_err();
    assert!(matches!(error, AuthorityError::Foreign { .. }), "{error}");
}

#[test]
fn a_new_authority_is_made_when_it_is_asked_for_and_the_old_one_is_kept() {
    let (store, first) = changed(&[(CA_KEY, Some(b"x"))]);
    let files = AuthFiles::of_store(&store.root());
    let (identity, deeds) = now(super::renew_authority(&store, &files, &at(NOW))).unwrap();
    sound(&store, &identity, NOW);
    assert_ne!(identity.ca, first.ca);
    let want = vec![(CA.to_owned(), first.ca.clone().into_bytes()), (CA_KEY.to_owned(), b"x".to_vec())];
    assert_eq!(kept(&store, &[CA, CA_KEY, CERT, KEY]), want);
    assert!(deeds.contains(&Deed::ReplacedAuthority), "{deeds:?}");
}

/// A second damage of one day does not take the place of the first.
#[test]
fn what_is_kept_is_never_replaced() {
    let store = plain::memory();
    ensure(&store, &at(NOW)).unwrap();
    for damage in ["one", "two", "two", "three"] {
        put(&store, CERT, damage);
        ensure(&store, &at(NOW)).unwrap();
    }
    for (suffix, content) in [("", "one"), (".2", "two"), (".3", "three")] {
        assert_eq!(text(&store, &format!("{CERT}.damaged-2026-11-21{suffix}")), content);
    }
}

#[test]
fn a_machine_gets_docker_machines_files_and_a_record_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = plain::folder(dir.path());
    let machine = MachineName::new("web-1").unwrap();
    store.put(&MachineRecord::new(machine.clone(), None, "none", OptionValues::new())).unwrap();
    let names = server_names("web-1", "10.0.0.5", []);
    let issued = now(issue(&store, &machine, &names, NOW)).unwrap();
    assert_eq!(store.read(Area::Machine(&machine), SERVER).unwrap(), None, "the host must have it first");
    now(issued.keep(&store, &machine)).unwrap();
    let Issued { record, host, .. } = issued;
    let identity = ensure(&store, &at(NOW)).unwrap();
    let file = |file: &str| store.read(Area::Machine(&machine), file).unwrap().unwrap();
    for (name, want, mode) in [
        (SERVER, &host.cert, 0o644),
        (SERVER_KEY, &host.key, 0o600),
        (CA, &identity.ca, 0o644),
        (CERT, &identity.cert, 0o644),
        (KEY, &identity.key, 0o600),
    ] {
        assert_eq!(file(name), want.as_bytes(), "{name}");
        let found = std::fs::metadata(dir.path().join("machines/web-1").join(name)).unwrap().permissions().mode();
        assert_eq!(found & 0o777 & !mode, 0, "{name} is {found:o}");
    }
    assert_eq!(host.ca, identity.ca);
    assert_eq!(record.sha256, crate::digest::sha256_hex(&file(SERVER)));
    assert_eq!(record.ca_sha256, crate::digest::sha256_hex(&file(CA)));
    assert_eq!((record.names, record.not_after), (names, NOW.plus_days(LEAF_DAYS)));
    let server = tls::check_pair(&host.cert, &host.key).unwrap();
    assert!(server.signed_by(&inspect(&host.ca).unwrap()).unwrap() && server.valid_for(Purpose::Server, NOW, 30));
}

/// Files of one's own, in two folders that are not there yet.
fn own(dir: &Path) -> AuthFiles {
    AuthFiles {
        ca_cert: dir.join("pki/authority.crt"),
        ca_key: dir.join("pki/authority.key"),
        client_cert: dir.join("me/me.crt"),
        client_key: dir.join("me/me.key"),
    }
}

#[test]
fn files_of_ones_own_are_made_where_they_were_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    let store = plain::folder(dir.path().join("store"));
    let files = own(dir.path());
    let (identity, deeds) = now(super::ensure(&store, &files, &at(NOW))).unwrap();
    let told: Vec<String> = deeds.iter().map(ToString::to_string).collect();
    let shown = dir.path().display();
    assert_eq!(
        told,
        [format!("Creating CA: {shown}/pki/authority.crt"), format!("Creating client certificate: {shown}/me/me.crt")]
    );
    for (path, mode) in files.all().into_iter().zip([0o644, 0o600, 0o644, 0o600]) {
        let found = std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(found & !mode, 0, "{} is {found:o}", path.display());
    }
    assert!(!dir.path().join("store/certs/ca.pem").exists());
    assert_eq!(now(super::ensure(&store, &files, &at(NOW))).unwrap(), (identity, Vec::new()));

    // Those that were there are used, and those of the store are not touched.
    let other = plain::folder(dir.path().join("other"));
    let before = std::fs::read(&files.ca_cert).unwrap();
    let client = AuthFiles { client_cert: dir.path().join("x.pem"), client_key: dir.path().join("y.pem"), ..files };
    let (_, deeds) = now(super::ensure(&other, &client, &at(NOW))).unwrap();
    assert_eq!(deeds, [Deed::CreatedClient(client.client_cert.clone())]);
    assert_eq!(std::fs::read(&client.ca_cert).unwrap(), before);
}

#[test]
fn what_ends_is_said_in_docker_machines_words() {
    let store = plain::memory();
    let first = ensure(&store, &at(NOW)).unwrap();
    let told = |when| {
        let copy = copy_of(&store);
        let (_, deeds) = now(super::ensure(&copy, &AuthFiles::of_store(&copy.root()), &at(when))).unwrap();
        deeds.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let client = "Client certificate is outdated and needs to be regenerated";
    assert_eq!(told(NOW.plus_days(LEAF_DAYS)), [client]);
    let authority = "CA certificate is outdated and needs to be regenerated";
    assert_eq!(told(inspect(&first.ca).unwrap().not_after), [authority, client]);
}

/// Two stores, fifty first runs, one authority.
#[test]
fn two_stores_make_one_authority_of_ones_own() {
    let dir = tempfile::tempdir().unwrap();
    let stores = ["a", "b"].map(|name| plain::folder(dir.path().join(name)));
    let files = own(dir.path());
    let identities: Vec<Identity> = thread::scope(|scope| {
        let run = |n: usize| now(super::ensure(&stores[n % 2], &files, &at(NOW))).unwrap().0;
        let workers: Vec<_> = (0..50).map(|n| scope.spawn(move || run(n))).collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    assert!(identities.iter().all(|identity| *identity == identities[0]));
}

#[test]
fn a_crash_with_files_of_ones_own_is_finished_by_the_next_run_for_others() {
    for lossy in [false, true] {
        for writes in 0.. {
            let store = plain::memory();
            let files = own(Path::new("/nowhere"));
            let fuse = if lossy { MemoryStore::set_lossy_fuse } else { MemoryStore::set_fuse };
            fuse(&store.backend, Some(writes));
            let result = now(super::ensure(&store, &files, &at(NOW)));
            store.backend.set_fuse(None);
            ensure(&store, &at(NOW)).unwrap();
            let (_, deeds) = now(super::ensure(&store, &files, &at(NOW))).unwrap();
            let noted = if lossy { writes > 0 || deeds.is_empty() } else { writes > 0 };
            assert_eq!(deeds.is_empty(), noted, "what was noted was finished by the next run");
            if result.is_ok() {
                break;
            }
        }
    }
}

/// The certificate of a swarm's master is one of a client as well (docker-machine loses that here).
#[test]
fn the_master_of_a_swarm_is_a_client_too() {
    let store = plain::memory();
    let machine = MachineName::new("m").unwrap();
    store.put(&MachineRecord::new(machine.clone(), None, "none", OptionValues::new())).unwrap();
    for (master, want) in [(false, false), (true, true)] {
        let config = format!(
            r#"{{"ConfigVersion": 3, "DriverName": "none", "HostOptions": {{"SwarmOptions": {{"Master": {master}}}}}}}"#
        );
        store.write(Area::Machine(&machine), "config.json", config.as_bytes(), Mode::Private).unwrap();
        let issued = now(issue(&store, &machine, &server_names("m", "", []), NOW)).unwrap();
        let about = inspect(&issued.host.cert).unwrap();
        assert_eq!((about.server, about.client), (true, want));
    }
}
