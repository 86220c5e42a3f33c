use super::{
    LEAF_DAYS, Pair, Purpose,
    flawed::{self, File, Flawed, Own, Recorded, Repair, Role, Shared, When},
    issue_client, issue_server,
    judge::{Flaw, Found},
    load_authority, new_authority, server_names,
};
use crate::{clock::Timestamp, digest::sha256_hex};

const NOW: Timestamp = Timestamp(1_795_219_200);

fn file(name: &str, text: &str) -> File {
    File { name: name.to_owned(), found: Ok(Some(text.as_bytes().to_vec())), foreign: false }
}

/// All that a machine has, as it should be.
fn sound() -> (Files, String, String) {
    let ca = new_authority("x", NOW).unwrap();
    let authority = load_authority(&ca.cert, &ca.key).unwrap();
    let Pair { cert, key } = issue_client(&authority, "u", NOW, LEAF_DAYS).unwrap();
    let server = issue_server(&authority, "m", &server_names("m", "", []), &[Purpose::Server], NOW, LEAF_DAYS).unwrap();
    let files = Files {
        authority: [file("certs/ca.pem", &ca.cert), file("certs/ca-key.pem", &ca.key)],
        client: [file("certs/cert.pem", &cert), file("certs/key.pem", &key)],
        copies: Some([
            file("machines/m/ca.pem", &ca.cert),
            file("machines/m/cert.pem", &cert),
            file("machines/m/key.pem", &key),
        ]),
        server: [file("machines/m/server.pem", &server.cert), file("machines/m/server-key.pem", &server.key)],
        twin: None,
    };
    (files, sha256_hex(server.cert.as_bytes()), sha256_hex(ca.cert.as_bytes()))
}

/// All files, as the tests change them.
struct Files {
    authority: [File; 2],
    client: [File; 2],
    copies: Option<[File; 3]>,
    server: [File; 2],
    twin: Option<Vec<u8>>,
}

fn judge(files: &Files, recorded: Recorded<'_>, when: When) -> Vec<Flawed> {
    let shared = Shared::of(files.authority.clone(), files.client.clone(), files.twin.clone(), when);
    flawed::judge(&shared, &Own { copies: files.copies.clone(), server: files.server.clone() }, recorded)
}

fn judged(change: impl FnOnce(&mut Files)) -> Vec<(Role, Repair)> {
    let (mut files, server, authority) = sound();
    change(&mut files);
    let found = judge(&files, Recorded { server: &server, authority: &authority }, When { now: NOW, renew: 30 });
    found.into_iter().map(|flawed| (flawed.role, flawed.repair)).collect()
}

fn bad(file: &mut File) {
    file.found = Ok(Some(b"x".to_vec()));
}

#[test]
fn each_file_is_repaired_from_the_nearest_that_is_sound() {
    assert_eq!(judged(|_| ()), []);
    for n in 0..3 {
        let role = [Role::CopyOfAuthority, Role::CopyOfClient, Role::CopyOfClientKey][n];
        assert_eq!(judged(|files| bad(&mut files.copies.as_mut().unwrap()[n])), [(role, Repair::Put)]);
    }
    assert_eq!(judged(|files| bad(&mut files.client[0])), [(Role::Client, Repair::Put)]);
    assert_eq!(judged(|files| bad(&mut files.client[1])), [(Role::ClientKey, Repair::Put)]);
    assert_eq!(judged(|files| bad(&mut files.server[1])), [(Role::ServerKey, Repair::Issue)]);
    // That one is not the recorded one: the record tells.
    assert_eq!(judged(|files| bad(&mut files.server[0])), []);
    assert_eq!(judged(|files| bad(&mut files.authority[0])), [(Role::Authority, Repair::Issue)]);
    let restored = judged(|files| {
        files.twin = files.authority[0].found.clone().unwrap();
        bad(&mut files.authority[0]);
    });
    assert_eq!(restored, [(Role::Authority, Repair::Put)]);
}

#[test]
fn without_its_key_an_authority_does_for_all_but_issuing() {
    let lost = |change: &dyn Fn(&mut Files)| {
        judged(|files| {
            files.authority[1].found = Ok(None);
            change(files);
        })
    };
    let key = (Role::AuthorityKey, Repair::Decide);
    assert_eq!(lost(&|_| ()), [key]);
    assert_eq!(lost(&|files| bad(&mut files.client[0])), [key], "the copies are good");
    let copy = lost(&|files| bad(&mut files.copies.as_mut().unwrap()[1]));
    assert_eq!(copy, [key, (Role::CopyOfClient, Repair::Put)], "the original is good");
    let both = lost(&|files| {
        bad(&mut files.client[1]);
        bad(&mut files.copies.as_mut().unwrap()[2]);
    });
    assert_eq!(both, [key, (Role::ClientKey, Repair::Decide), (Role::CopyOfClientKey, Repair::Decide)]);
    assert_eq!(lost(&|files| bad(&mut files.server[1])), [key, (Role::ServerKey, Repair::Decide)]);
}

#[test]
fn what_is_the_users_own_is_left_to_them() {
    let own = |change: &dyn Fn(&mut Files)| {
        judged(|files| {
            files.authority.iter_mut().chain(&mut files.client).for_each(|file| file.foreign = true);
            change(files);
        })
    };
    assert_eq!(own(&|_| ()), []);
    assert_eq!(own(&|files| bad(&mut files.authority[0])), [(Role::Authority, Repair::Yours)]);
    assert_eq!(own(&|files| bad(&mut files.client[0])), [(Role::Client, Repair::Yours)]);
    // What is not there can be made without rewriting anything.
    assert_eq!(
        own(&|files| (files.client[0].found, files.client[1].found) = (Ok(None), Ok(None))),
        [(Role::Client, Repair::Put), (Role::ClientKey, Repair::Put)]
    );
    let unreadable: Found = Err("permission denied".to_owned());
    let denied = judged(|files| files.copies.as_mut().unwrap()[0].found = unreadable);
    assert_eq!(denied, [(Role::CopyOfAuthority, Repair::Yours)]);
}

#[test]
fn all_that_is_of_the_future_is_told() {
    let (files, server, authority) = sound();
    let when = When { now: NOW.plus_days(-4 * 365), renew: 30 };
    let found = judge(&files, Recorded { server: &server, authority: &authority }, when);
    assert!(found.iter().all(|flawed| matches!(flawed.flaw, Flaw::NotYet(_)) && flawed.repair <= Repair::Issue));
    let said: Vec<String> = found.iter().map(Flawed::to_string).collect();
    let clock = "not valid before 2026-11-20T23:55:00Z; is the clock of this computer right?";
    let names = ["certs/ca.pem", "certs/cert.pem", "machines/m/ca.pem", "machines/m/cert.pem", "machines/m/server.pem"];
    assert_eq!(said, names.map(|name| format!("{name} in the store: {clock}")));
}
