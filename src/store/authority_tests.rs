use super::*;
use crate::{
    clock::FixedClock,
    record::{MachineRecord, OptionValues},
    store::{dir::DirStore, memory::MemoryStore},
    tls::{LEAF_DAYS, inspect, load_authority, server_names},
};
use std::{os::unix::fs::PermissionsExt as _, thread};

const NOW: Timestamp = Timestamp(1_795_219_200);

const CA: &str = "ca.pem";
const CA_KEY: &str = "ca-key.pem";
const CERT: &str = "cert.pem";
const KEY: &str = "key.pem";

/// With the files of the store.
fn ensure(store: &dyn Store, clock: &dyn Clock) -> Result<Identity, AuthorityError> {
    Ok(super::ensure(store, &AuthFiles::of_store(&store.root()), clock)?.0)
}

fn at(now: Timestamp) -> FixedClock {
    FixedClock(now)
}

fn text(store: &dyn Store, file: &str) -> String {
    String::from_utf8(store.read(Area::Certs, file).unwrap().unwrap()).unwrap()
}

fn put(store: &dyn Store, file: &str, content: &str) {
    store
        .write(
            Area::Certs,
            file,
            content.as_bytes(),
            if file.ends_with("key.pem") { Mode::Private } else { Mode::Public },
        )
        .unwrap();
}

/// The files are what was returned, and everything belongs together.
#[track_caller]
fn sound(store: &dyn Store, identity: &Identity, now: Timestamp) {
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
    let store = DirStore::new(dir.path(), crate::driver::Drivers::built_in()).unwrap();
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
    let store = MemoryStore::default();
    let first = ensure(&store, &at(NOW)).unwrap();
    let writes = store.writes();
    store.set_fuse(Some(0));
    assert_eq!(ensure(&store, &at(NOW.plus_days(LEAF_DAYS - RENEW_DAYS - 1))).unwrap(), first);
    assert_eq!(store.writes(), writes);
}

/// A store with the files of another.
fn copy_of(store: &dyn Store) -> MemoryStore {
    let copy = MemoryStore::default();
    for file in [CA, CA_KEY, CERT, KEY] {
        put(&copy, file, &text(store, file));
    }
    copy
}

/// pain 17: what runs out is renewed before it does, and never leaves a broken chain.
#[test]
fn what_runs_out_is_renewed() {
    let original = MemoryStore::default();
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
    let (original, other) = (MemoryStore::default(), MemoryStore::default());
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
    let original = MemoryStore::default();
    let first = ensure(&original, &at(NOW)).unwrap();
    let late = inspect(&first.ca).unwrap().not_after;
    for (now, start) in [(NOW, None), (late, Some(&original))] {
        for lossy in [false, true] {
            for writes in 0.. {
                let store = start.map_or_else(MemoryStore::default, |from| copy_of(from));
                let fuse = if lossy { MemoryStore::set_lossy_fuse } else { MemoryStore::set_fuse };
                fuse(&store, Some(writes));
                let result = ensure(&store, &at(now));
                store.set_fuse(None);
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

#[track_caller]
fn refused(files: &[(&str, Option<&str>)], message: &str) {
    let original = MemoryStore::default();
    ensure(&original, &at(NOW)).unwrap();
    let store = MemoryStore::default();
    for file in [CA, CA_KEY, CERT, KEY] {
        match files.iter().find(|(changed, _)| *changed == file) {
            Some((_, None)) => {}
            Some((_, Some(content))) => put(&store, file, content),
            None => put(&store, file, &text(&original, file)),
        }
    }
    let writes = store.writes();
    let error = ensure(&store, &at(NOW)).unwrap_err();
    let shown = error.to_string().replace(&store.root().join("certs").display().to_string(), "…");
    assert_eq!(shown, message);
    assert!(error.help().is_some());
    assert_eq!(store.writes(), writes, "nothing is changed");
}

#[test]
fn what_makes_no_sense_is_explained_and_left_alone() {
    refused(&[(CA, None)], "…/ca-key.pem is there, but …/ca.pem is not");
    refused(&[(CA_KEY, None)], "…/ca.pem is there, but …/ca-key.pem is not");
    refused(&[(CERT, None)], "…/key.pem is there, but …/cert.pem is not");
    refused(&[(KEY, None)], "…/cert.pem is there, but …/key.pem is not");
    refused(&[(CA, None), (CA_KEY, None), (KEY, None)], "…/cert.pem is there, but …/key.pem is not");
    refused(&[(CA, Some("x"))], "…/ca.pem: the certificate is not a PEM text");
    refused(&[(CERT, Some(""))], "…/cert.pem: the certificate is not a PEM text");
    let unreadable = "the private key cannot be read; it must be an unencrypted RSA or ECDSA key in PEM";
    refused(&[(CA_KEY, Some("x"))], &format!("…/ca-key.pem: {unreadable}"));
    refused(&[(KEY, Some("x"))], &format!("…/key.pem: {unreadable}"));
    let strange = MemoryStore::default();
    ensure(&strange, &at(NOW)).unwrap();
    refused(
        &[(CA_KEY, Some(&text(&strange, CA_KEY)))],
        "…/ca-key.pem: the private key does not belong to the certificate",
    );
}

#[test]
fn a_machine_gets_docker_machines_files_and_a_record_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = DirStore::new(dir.path(), crate::driver::Drivers::built_in()).unwrap();
    let machine = MachineName::new("web-1").unwrap();
    store.put(&MachineRecord::new(machine.clone(), None, "none", OptionValues::new())).unwrap();
    let names = server_names("web-1", "10.0.0.5", []);
    let issued = issue(&store, &machine, &names, NOW).unwrap();
    assert_eq!(store.read(Area::Machine(&machine), SERVER).unwrap(), None, "the host must have it first");
    issued.keep(&store, &machine).unwrap();
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
    let store = DirStore::new(dir.path().join("store"), crate::driver::Drivers::built_in()).unwrap();
    let files = own(dir.path());
    let (identity, deeds) = super::ensure(&store, &files, &at(NOW)).unwrap();
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
    assert_eq!(super::ensure(&store, &files, &at(NOW)).unwrap(), (identity, Vec::new()));

    // Those that were there are used, and those of the store are not touched.
    let other = DirStore::new(dir.path().join("other"), crate::driver::Drivers::built_in()).unwrap();
    let before = std::fs::read(&files.ca_cert).unwrap();
    let client = AuthFiles { client_cert: dir.path().join("x.pem"), client_key: dir.path().join("y.pem"), ..files };
    let (_, deeds) = super::ensure(&other, &client, &at(NOW)).unwrap();
    assert_eq!(deeds, [Deed::CreatedClient(client.client_cert.clone())]);
    assert_eq!(std::fs::read(&client.ca_cert).unwrap(), before);
}

#[test]
fn what_ends_is_said_in_docker_machines_words() {
    let store = MemoryStore::default();
    let first = ensure(&store, &at(NOW)).unwrap();
    let told = |now| {
        let copy = copy_of(&store);
        let (_, deeds) = super::ensure(&copy, &AuthFiles::of_store(&copy.root()), &at(now)).unwrap();
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
    let stores =
        ["a", "b"].map(|name| DirStore::new(dir.path().join(name), crate::driver::Drivers::built_in()).unwrap());
    let files = own(dir.path());
    let identities: Vec<Identity> = thread::scope(|scope| {
        let run = |n: usize| super::ensure(&stores[n % 2], &files, &at(NOW)).unwrap().0;
        let workers: Vec<_> = (0..50).map(|n| scope.spawn(move || run(n))).collect();
        workers.into_iter().map(|w| w.join().unwrap()).collect()
    });
    assert!(identities.iter().all(|identity| *identity == identities[0]));
}

#[test]
fn a_crash_with_files_of_ones_own_is_finished_by_the_next_run_for_others() {
    for lossy in [false, true] {
        for writes in 0.. {
            let store = MemoryStore::default();
            let files = own(Path::new("/nowhere"));
            let fuse = if lossy { MemoryStore::set_lossy_fuse } else { MemoryStore::set_fuse };
            fuse(&store, Some(writes));
            let result = super::ensure(&store, &files, &at(NOW));
            store.set_fuse(None);
            ensure(&store, &at(NOW)).unwrap();
            let (_, deeds) = super::ensure(&store, &files, &at(NOW)).unwrap();
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
    let store = MemoryStore::default();
    let machine = MachineName::new("m").unwrap();
    store.put(&MachineRecord::new(machine.clone(), None, "none", OptionValues::new())).unwrap();
    for (master, want) in [(false, false), (true, true)] {
        let config = format!(
            r#"{{"ConfigVersion": 3, "DriverName": "none", "HostOptions": {{"SwarmOptions": {{"Master": {master}}}}}}}"#
        );
        store.write(Area::Machine(&machine), "config.json", config.as_bytes(), Mode::Private).unwrap();
        let issued = issue(&store, &machine, &server_names("m", "", []), NOW).unwrap();
        let about = inspect(&issued.host.cert).unwrap();
        assert_eq!((about.server, about.client), (true, want));
    }
}
