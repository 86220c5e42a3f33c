//! What every store must do, whatever it keeps things in. Each check gets an empty store.

use super::{
    Area, Doing, Expect, Holder, MachineChange, Mode, Scope, Store, StoreError, Subject, Versioned,
    plain::{self, now},
};
use crate::{
    clock::Timestamp,
    name::{FleetName, MachineName},
    record::{Instance, MachineRecord, OptionValues, Part, Pending, Tombstone, Version},
};
use std::{
    collections::BTreeSet,
    ops::ControlFlow,
    os::unix::fs::PermissionsExt as _,
    pin::pin,
    task::{Context, Poll, Waker},
    thread,
};

fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

fn fleet(text: &str) -> FleetName {
    FleetName::new(text).unwrap()
}

fn record(text: &str) -> MachineRecord {
    MachineRecord::new(name(text), None, "none", OptionValues::new())
}

fn holder(pid: u32) -> Holder {
    Holder { who: "ci@b7".to_owned(), pid, doing: Doing::machines("apply", []), since: Timestamp(0) }
}

fn create(store: &Store, record: &MachineRecord) -> Result<Version, StoreError> {
    now(store.records.put_if(MachineChange::of(record), Expect::Absent))
}

fn lines(store: &Store, most: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut each = |line: &[u8]| {
        found.push(String::from_utf8(line.to_vec()).unwrap());
        if found.len() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    now(store.journal.tail(&mut each)).unwrap();
    found.retain(|line| !line.is_empty());
    found
}

fn an_empty_store_has_nothing(store: &Store) {
    assert_eq!(now(store.records.names()).unwrap(), Vec::<String>::new());
    assert_eq!(now(store.records.version(&name("a"))).unwrap(), None);
    assert!(matches!(now(store.records.get(&name("a"))), Err(StoreError::Absent(_))));
    assert!(!now(store.records.is_sound(&name("a"))));
    assert_eq!(now(store.files.read(Area::Certs, "ca.pem")).unwrap(), None);
    assert!(now(store.records.tombstones()).unwrap().is_empty());
    assert!(lines(store, 9).is_empty() && now(store.leases.held()).unwrap().is_empty());
    // What is not there is removed.
    now(store.records.delete_if(&name("a"), &Version::of(&[]))).unwrap();
    now(store.remove(&name("a"))).unwrap();
    now(store.records.remove_tombstone("x")).unwrap();
}

fn what_is_put_is_got_with_the_version_that_was_answered(store: &Store) {
    let version = create(store, &record("a")).unwrap();
    assert_eq!(now(store.records.get(&name("a"))).unwrap(), (record("a"), version.clone()));
    assert_eq!(now(store.records.version(&name("a"))).unwrap(), Some(version));
    assert!(now(store.records.is_sound(&name("a"))));
    create(store, &record("b")).unwrap();
    assert_eq!(now(store.records.names()).unwrap(), ["a", "b"]);
    let snapshot = now(store.records.snapshot()).unwrap();
    assert_eq!(snapshot.machines.keys().map(MachineName::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(snapshot.machines[&name("a")].record, record("a"));
}

fn nothing_is_written_over_what_was_not_read(store: &Store) {
    let first = create(store, &record("a")).unwrap();
    assert!(matches!(create(store, &record("a")), Err(StoreError::Exists(_))));
    let changed = MachineRecord { protect: true, ..record("a") };
    let second = now(store.records.put_if(MachineChange::of(&changed), Expect::Is(&first))).unwrap();
    assert_ne!(first, second);
    let late = now(store.records.put_if(MachineChange::of(&record("a")), Expect::Is(&first)));
    assert!(matches!(late, Err(StoreError::Moved(_))), "{late:?}");
    assert!(matches!(now(store.records.delete_if(&name("a"), &first)), Err(StoreError::Moved(_))));
    assert_eq!(now(store.records.get(&name("a"))).unwrap(), (changed, second.clone()));
    // A machine that is not there has no state to be changed.
    let ghost = now(store.records.put_if(MachineChange::of(&record("ghost")), Expect::Is(&second)));
    assert!(matches!(ghost, Err(StoreError::Moved(_))), "{ghost:?}");
    now(store.records.delete_if(&name("a"), &second)).unwrap();
    assert_eq!(now(store.records.names()).unwrap(), Vec::<String>::new());
}

fn a_machine_and_its_files_are_there_together_and_go_together(store: &Store) {
    let a = record("a");
    let files = [("server.pem", &b"1"[..], Mode::Public), ("key.pem", &b"2"[..], Mode::Private)];
    let first = MachineChange { record: &a, files: &files, seed: &|_| {} };
    let version = now(store.records.put_if(first, Expect::Absent)).unwrap();
    let read = |file: &str| now(store.files.read(Area::Machine(&name("a")), file)).unwrap();
    assert_eq!((read("server.pem"), read("key.pem")), (Some(b"1".to_vec()), Some(b"2".to_vec())));
    let files = [("server.pem", &b"3"[..], Mode::Public)];
    let next = MachineRecord { protect: true, ..a };
    let change = MachineChange { record: &next, files: &files, seed: &|_| {} };
    now(store.records.put_if(change, Expect::Is(&version))).unwrap();
    assert_eq!((read("server.pem"), read("key.pem")), (Some(b"3".to_vec()), Some(b"2".to_vec())));
    now(store.remove(&name("a"))).unwrap();
    assert_eq!((read("server.pem"), read("key.pem")), (None, None));
    // A new machine of the name has nothing of the old one.
    create(store, &record("a")).unwrap();
    assert_eq!(read("key.pem"), None);
}

fn two_who_change_one_record_both_get_what_they_changed(store: &Store) {
    let mut first = Versioned::new(record("a"));
    now(store.save(&mut first)).unwrap();
    let mut second = now(store.load(&name("a"))).unwrap();
    first.fleet = Some(fleet("shop"));
    second.pending.insert(Part::Engine, Pending::Upgrade);
    now(store.save(&mut second)).unwrap();
    now(store.save(&mut first)).unwrap();
    let both = now(store.get(&name("a"))).unwrap();
    assert_eq!((both.fleet.clone(), both.pending.len()), (Some(fleet("shop")), 1));
    assert_eq!(*first, both, "who saves knows what is there then");
    // What each removes is gone.
    second.pending.clear();
    now(store.save(&mut second)).unwrap();
    first.fleet = None;
    now(store.save(&mut first)).unwrap();
    assert_eq!(now(store.get(&name("a"))).unwrap(), record("a"));
    // And a change of what was read earlier, without having kept it open.
    let protected = MachineRecord { protect: true, ..record("a") };
    let mut second = now(store.load(&name("a"))).unwrap();
    second.fleet = Some(fleet("other"));
    now(store.save(&mut second)).unwrap();
    now(store.change(&record("a"), &protected)).unwrap();
    let both = now(store.get(&name("a"))).unwrap();
    assert_eq!((both.protect, both.fleet), (true, Some(fleet("other"))));
}

fn two_who_change_the_same_are_told(store: &Store) {
    let mut first = Versioned::new(record("a"));
    now(store.save(&mut first)).unwrap();
    let mut second = now(store.load(&name("a"))).unwrap();
    first.fleet = Some(fleet("shop"));
    second.fleet = Some(fleet("other"));
    now(store.save(&mut second)).unwrap();
    let error = now(store.save(&mut first)).unwrap_err();
    assert!(matches!(error, StoreError::Conflict { field: "fleet", .. }), "{error}");
    assert!(error.to_string().contains("its fleet is another now") && error.help().is_some());
    assert_eq!(now(store.get(&name("a"))).unwrap().fleet, Some(fleet("other")));
    // Of a machine that went, nothing comes back.
    now(store.remove(&name("a"))).unwrap();
    second.protect = true;
    assert!(matches!(now(store.save(&mut second)), Err(StoreError::Absent(_))));
    let mut new = Versioned::new(record("a"));
    now(store.save(&mut new)).unwrap();
    let mut again = Versioned::new(record("a"));
    assert!(matches!(now(store.save(&mut again)), Err(StoreError::Exists(_))));
}

fn a_crowd_loses_no_change(store: &Store) {
    create(store, &record("a")).unwrap();
    thread::scope(|scope| {
        for worker in 0..8 {
            scope.spawn(move || {
                for n in 0..10 {
                    let mut record = now(store.load(&name("a"))).unwrap();
                    record.depends_on.insert(name(&format!("m{worker}-{n}")));
                    now(store.save(&mut record)).unwrap();
                }
            });
        }
    });
    assert_eq!(now(store.get(&name("a"))).unwrap().depends_on.len(), 80);
}

fn of_a_crowd_one_creates_and_one_takes(store: &Store) {
    let made: usize = thread::scope(|scope| {
        let all: Vec<_> = (0..8).map(|_| scope.spawn(|| usize::from(create(store, &record("a")).is_ok()))).collect();
        all.into_iter().map(|one| one.join().unwrap()).sum()
    });
    assert_eq!(made, 1);
    let wanted = Scope::of_fleet(&fleet("shop"), [&name("a")]);
    let held: Vec<_> = thread::scope(|scope| {
        let take = |n| now(store.leases.take(&wanted, &holder(n))).ok();
        let all: Vec<_> = (0..8).map(|n| scope.spawn(move || take(n))).collect();
        all.into_iter().filter_map(|one| one.join().unwrap()).collect()
    });
    assert_eq!(held.len(), 1);
}

fn a_removal_is_remembered_until_it_is_confirmed(store: &Store) {
    let mut gone = record("a");
    gone.instance = Some(Instance {
        id: "i-1".to_owned(),
        address: "192.0.2.1".to_owned(),
        ssh: None,
        url: None,
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
    });
    let grave = Tombstone::of(&gone, Timestamp(1), "no answer");
    now(store.records.put_tombstone(&grave)).unwrap();
    let again = Tombstone { why: "still no answer".to_owned(), ..grave.clone() };
    now(store.records.put_tombstone(&again)).unwrap();
    let all = now(store.records.tombstones()).unwrap();
    assert_eq!(all.into_iter().collect::<Vec<_>>(), [(grave.id(), Ok(again.clone()))]);
    assert_eq!(now(store.records.snapshot()).unwrap().tombstones.len(), 1);
    now(store.records.remove_tombstone(&grave.id())).unwrap();
    assert!(now(store.records.tombstones()).unwrap().is_empty());
    assert!(now(store.files.tombstone_dir()).unwrap().is_dir());
}

fn runs_whose_scopes_meet_exclude_each_other(store: &Store) {
    let shop = Scope::of_fleet(&fleet("shop"), [&name("a"), &name("b")]);
    let held = now(store.leases.take(&shop, &holder(1))).unwrap();
    for scope in [Scope::of_machines([&name("b")]), Scope::of_fleet(&fleet("shop"), [])] {
        match now(store.leases.take(&scope, &holder(2))) {
            Err(StoreError::Locked { holder: by, subject, pass }) => {
                assert_eq!(*by, holder(1));
                assert!(shop.has(&subject) && scope.has(&subject));
                assert!(store.leases.passes().split(' ').any(|own| own == pass), "its children know it");
            }
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("two hold {scope:?}"),
        }
    }
    let apart = now(store.leases.take(&Scope::of_machines([&name("c")]), &holder(2))).unwrap();
    let seen = now(store.leases.held()).unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().any(|seen| seen.scope.as_ref() == Some(&shop)));
    now(store.leases.still_held()).unwrap();
    drop(held);
    drop(now(store.leases.take(&shop, &holder(3))).unwrap());
    drop(apart);
    assert_eq!((now(store.leases.held()).unwrap(), store.leases.passes()), (Vec::new(), String::new()));
}

fn who_lost_a_lease_writes_nothing(store: &Store) {
    create(store, &record("a")).unwrap();
    let scope = Scope::of_machines([&name("a")]);
    let held = now(store.leases.take(&scope, &holder(1))).unwrap();
    let mut record = now(store.load(&name("a"))).unwrap();
    record.protect = true;
    now(store.save(&mut record)).unwrap();
    now(store.leases.end(&Subject::Machine(name("a")))).unwrap();
    record.protect = false;
    for refused in [
        now(store.leases.still_held()),
        now(store.save(&mut record)),
        now(store.remove(&name("a"))),
        now(store.files.write(Area::Machine(&name("a")), &[("x", b"x", Mode::Private)])),
    ] {
        assert!(matches!(refused, Err(StoreError::LostLock { .. })), "{refused:?}");
    }
    assert!(now(store.get(&name("a"))).unwrap().protect);
    drop(held);
}

fn the_journal_is_read_from_its_end(store: &Store) {
    for n in 0..20 {
        now(store.journal.append(&format!("{{\"n\":{n}}}"))).unwrap();
    }
    assert_eq!(lines(store, 2), ["{\"n\":19}", "{\"n\":18}"]);
    assert_eq!(lines(store, 100).len(), 20);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope
                .spawn(|| (0..10).for_each(|_| now(store.journal.append("{\"long\":\"a line of its own\"}")).unwrap()));
        }
    });
    assert_eq!(lines(store, 100).iter().filter(|line| *line == "{\"long\":\"a line of its own\"}").count(), 40);
}

fn a_store_is_itself_and_has_a_place_on_this_computer(store: &Store) {
    let id = now(store.records.id()).unwrap();
    assert_eq!((id.len(), now(store.records.id()).unwrap()), (32, id));
    create(store, &record("a")).unwrap();
    let dir = now(store.files.machine_dir(&name("a"))).unwrap();
    assert!(dir.is_dir() && dir.starts_with(store.files.root()));
    let parent = dir.parent().unwrap();
    assert_eq!(parent.metadata().unwrap().permissions().mode() & 0o022, 0);
}

fn files_of_one_area_are_none_of_another(store: &Store) {
    create(store, &record("a")).unwrap();
    let shop = fleet("shop");
    let a = name("a");
    for (n, area) in [Area::Certs, Area::Machine(&a), Area::Fleet(&shop)].into_iter().enumerate() {
        let content = n.to_string();
        now(store.files.write(area, &[("x.pem", content.as_bytes(), Mode::Public)])).unwrap();
    }
    for (n, area) in [Area::Certs, Area::Machine(&a), Area::Fleet(&shop)].into_iter().enumerate() {
        assert_eq!(now(store.files.read(area, "x.pem")).unwrap(), Some(n.to_string().into_bytes()));
    }
    now(store.files.write(Area::Certs, &[("x.pem", b"new", Mode::Public), ("y.pem", b"y", Mode::Private)])).unwrap();
    assert_eq!(now(store.files.read(Area::Certs, "x.pem")).unwrap(), Some(b"new".to_vec()));
}

async fn certificates_are_made_by_one_at_a_time(store: &Store) {
    let none = BTreeSet::new();
    let held = store.files.hold_certificates(&none).await.unwrap();
    let mut second = pin!(store.files.hold_certificates(&none));
    assert!(matches!(second.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Pending));
    drop(held);
    drop(second.await.unwrap());
}

/// What is held of a store.
type Check = fn(&Store);

/// Every check, each on a store of its own.
fn conform(new: &dyn Fn() -> Store) {
    let checks: [(&str, Check); 14] = [
        ("an empty store has nothing", an_empty_store_has_nothing),
        ("what is put is got", what_is_put_is_got_with_the_version_that_was_answered),
        ("nothing is written over what was not read", nothing_is_written_over_what_was_not_read),
        ("a machine and its files are together", a_machine_and_its_files_are_there_together_and_go_together),
        ("two changes are both there", two_who_change_one_record_both_get_what_they_changed),
        ("two changes of the same are told", two_who_change_the_same_are_told),
        ("a crowd loses no change", a_crowd_loses_no_change),
        ("of a crowd one succeeds", of_a_crowd_one_creates_and_one_takes),
        ("a removal is remembered", a_removal_is_remembered_until_it_is_confirmed),
        ("scopes that meet exclude", runs_whose_scopes_meet_exclude_each_other),
        ("who lost a lease writes nothing", who_lost_a_lease_writes_nothing),
        ("the journal is read from its end", the_journal_is_read_from_its_end),
        ("a store is itself", a_store_is_itself_and_has_a_place_on_this_computer),
        ("areas are apart", files_of_one_area_are_none_of_another),
    ];
    for (what, check) in checks {
        println!("{what}");
        check(&new());
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(certificates_are_made_by_one_at_a_time(&new()));
}

#[test]
fn a_store_in_memory_conforms() {
    conform(&|| plain::memory().store);
}

#[test]
fn a_folder_conforms() {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let count = std::cell::Cell::new(0);
    conform(&|| {
        count.set(count.get() + 1);
        plain::folder(dir.path().join(count.get().to_string())).store
    });
}
