//! What is planned, and why, for everything that can be known of a machine: as the words a person reads.

mod case;

use case::{Case, SHOP, facts, name};
use machine::{
    clock::Timestamp,
    driver::Drivers,
    fleet::{self, Fleet, Limit},
    plan::{Inputs, Plan, guard, unified},
    provisioner::PROVISIONERS,
    record::{ApiFact, Instance, Observed, Part, Pending, Power, Reach, Snapshot, SshEndpoint},
};
use std::collections::BTreeSet;

const NOW: Timestamp = Timestamp(1_800_000_000);

#[test]
fn nothing_recorded_is_made_in_order() {
    let mut case = Case::of(SHOP);
    case.snapshot = Snapshot::default();
    insta::assert_snapshot!(case.text(), @r"
      db
        + create  instance     not recorded
        + create  certificate  not recorded
        + create  engine       not recorded
      web-1
        + create  instance     not recorded
        + create  certificate  not recorded
        + create  engine       not recorded
      web-2
        + create  instance     not recorded
        + create  certificate  not recorded
        + create  engine       not recorded
    9 steps on 3 of 3 hosts: 9 to create.
    ");
    let waves: Vec<String> = case
        .plan()
        .steps
        .waves()
        .iter()
        .map(|w| w.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        waves,
        [
            "db/instance",
            "db/certificate",
            "db/engine",
            "web-1/instance web-2/instance",
            "web-1/certificate web-2/certificate",
            "web-1/engine web-2/engine"
        ]
    );
}

#[test]
fn a_second_plan_is_empty() {
    assert_eq!(Case::of(SHOP).text(), "Nothing to do: 3 hosts are as planned.");
    assert_eq!(Case::of(SHOP).seen("db", |_| ()).text(), "Nothing to do: 3 hosts are as planned.");
}

/// Pain 2: a label changes one part of one host, old and new are named.
#[test]
fn a_label_is_one_upgrade_of_one_part() {
    let case = Case::of(SHOP).desired(&SHOP.replace("db: {}", "db: { engine: { labels: { tier: data } } }"));
    insta::assert_snapshot!(case.text(), @r"
      db
        ~ upgrade engine       labels.tier: web → data
    1 step on 1 of 3 hosts: 1 to upgrade, 8 to keep.
    ");
    insta::assert_snapshot!(unified::diff(&case.fleet, &case.snapshot, &Drivers::built_in()), @r"
    --- recorded/db
    +++ desired/db
    @@ -7,4 +7,4 @@
       api: tls
       port: 2376
       labels:
    -    tier: web
    +    tier: data
    ");
}

#[test]
fn every_field_of_an_engine_is_compared() {
    let engine = "engine: { version: '28.2', source: docker-ce, mirror: 'https://m.example', port: 2377, \
                  env: { HTTPS_PROXY: 'http://u:s3cret@p:3128', A: b }, \
                  registry-mirrors: ['https://r.example'], insecure-registries: ['r:5000'], \
                  daemon: { debug: true }, open-firewall: true }";
    insta::assert_snapshot!(Case::of(SHOP).desired(&SHOP.replace("db: {}", &format!("db: {{ {engine} }}"))).text(), @r#"
      db
        ~ upgrade engine       version: (none) → 28.2
                               source: distro → docker-ce
                               mirror: (none) → https://m.example
                               port: 2376 → 2377
                               registry-mirrors: (none) → https://r.example
                               insecure-registries: (none) → r:5000
                               env.A: (none) → b
                               env.HTTPS_PROXY: (none) → http://u:***@p:3128
                               daemon.debug: (none) → true
                               open-firewall: false → true
    1 step on 1 of 3 hosts: 1 to upgrade, 8 to keep.
    "#);
}

/// A password is in no plan and no diff, and that it changed is told nevertheless.
#[test]
fn passwords_in_urls_are_not_shown() {
    let engine = |password: &str| {
        let engine = format!(
            "engine: {{ source: script, install-url: 'https://u:{password}@get/x', env: {{ P: 'u:{password}@p' }}, \
             daemon: {{ proxies: {{ http-proxy: 'http://u:{password}@p' }} }} }}"
        );
        SHOP.replace("db: {}", &format!("db: {{ {engine} }}"))
    };
    let case = Case::of(&engine("s3cret")).desired(&engine("s3cr3t"));
    insta::assert_snapshot!(case.text(), @r#"
      db
        ~ upgrade engine       install-url: https://u:***@get/x → https://u:***@get/x (another password)
                               env.P: u:***@p → u:***@p (another password)
                               daemon.proxies: {"http-proxy":"http://u:***@p"} → {"http-proxy":"http://u:***@p"} (another password)
    1 step on 1 of 3 hosts: 1 to upgrade, 8 to keep.
    "#);
    let case = Case::of(SHOP).desired(&engine("s3cret"));
    let diff = unified::diff(&case.fleet, &case.snapshot, &Drivers::built_in());
    assert!(diff.contains("+    P: u:***@p\n") && !diff.contains("s3cret"), "{diff}");
}

/// Pain 2: what can change in place does; what cannot is a replacement that must be allowed.
#[test]
fn options_change_in_place_or_by_replacement() {
    insta::assert_snapshot!(Case::of(SHOP).desired(&SHOP.replace("1GiB", "2GiB")).text(), @r"
      db
        ~ upgrade instance     memory: 1GiB → 2GiB
      web-1
        ~ upgrade instance     memory: 1GiB → 2GiB
      web-2
        ~ upgrade instance     memory: 1GiB → 2GiB
    3 steps on 3 of 3 hosts: 3 to upgrade, 6 to keep.
    ");
    let case = Case::of(SHOP).desired(&SHOP.replace("db: {}", "db: { image: debian-13 }"));
    insta::assert_snapshot!(case.text(), @r"
      db
        - rm      instance     cannot change in place, image: debian-12 → debian-13
        + create  instance     cannot change in place, image: debian-12 → debian-13
        + create  certificate  the instance is new
        + create  engine       the instance is new
    4 steps on 1 of 3 hosts: 3 to create, 1 to rm, 6 to keep.
    ");
    let refused = |consent| guard::refusals(&case.plan(), &case.snapshot, Limit::number(1), consent);
    let texts: Vec<String> = refused(guard::Consent::default()).iter().map(ToString::to_string).collect();
    assert_eq!(texts, ["`db` would be replaced: cannot change in place, image: debian-12 → debian-13"]);
    assert_eq!(refused(guard::Consent { replace: true, ..guard::Consent::default() }), []);
}

/// Pains 13 and 14: a host that left the file is kept unless pruning was asked for, and even then within limits.
#[test]
fn hosts_that_left_the_file() {
    let without = "fleet: shop\nhosts: {}\n";
    let mut case = Case::of(SHOP).desired(without);
    insta::assert_snapshot!(case.text(), @r"
      db
        ! keep    instance     not in the fleet file; kept without --prune
      web-1
        ! keep    instance     not in the fleet file; kept without --prune
      web-2
        ! keep    instance     not in the fleet file; kept without --prune
    Nothing to do: 0 hosts are as planned, 3 left the file and are kept.
    ");
    case.prune = true;
    let plan = case.plan();
    let waves: Vec<Vec<String>> =
        plan.steps.waves().iter().map(|w| w.iter().map(ToString::to_string).collect()).collect();
    assert_eq!(
        waves,
        [vec!["web-1/instance (rm)", "web-2/instance (rm)"], vec!["db/instance (rm)"]],
        "dependants first"
    );
    let refused = |delete, snapshot: &Snapshot| {
        let consent = guard::Consent { delete, ..guard::Consent::default() };
        guard::refusals(&plan, snapshot, Limit::number(1), consent).iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        refused(None, &case.snapshot),
        ["all 3 machines of the fleet would be removed, and none of those it has would be left"]
    );
    assert_eq!(refused(Some(2), &case.snapshot), ["3 machines would be removed, but `--allow-delete=2` was given"]);
    assert_eq!(refused(Some(3), &case.snapshot), Vec::<String>::new());
    let protected = case.record("db", |r| r.protect = true);
    assert_eq!(refused(Some(3), &protected.snapshot), ["`db` is protected and would be removed"]);
}

#[test]
fn machines_of_others_are_not_touched() {
    let case = Case::of(SHOP).record("db", |r| r.fleet = Some("other".parse().unwrap()));
    insta::assert_snapshot!(case.text(), @r"
      db
        ! keep    instance     blocked: a machine of this name belongs to fleet `other`
    Nothing to do: 2 hosts are as planned, 1 is blocked.
    ");
    let mut case = Case::of(SHOP).desired("fleet: shop\nhosts: {}\n");
    case.prune = true;
    let case = case.record("db", |r| r.fleet = None).record("web-1", |r| r.fleet = Some("other".parse().unwrap()));
    insta::assert_snapshot!(case.text(), @r"
      web-2
        - rm      instance     not in the fleet file
    1 step on 1 of 1 host: 1 to rm.
    ");
}

#[test]
fn a_machine_of_the_store_is_adopted_by_its_name() {
    let case = Case::of(SHOP).record("db", |r| r.fleet = None);
    insta::assert_snapshot!(case.text(), @r"
      db
        ~ upgrade instance     adopted from the store
    1 step on 1 of 3 hosts: 1 to upgrade, 8 to keep.
    ");
}

/// Pain 9: one bad file does not stop the others.
#[test]
fn a_record_that_will_not_parse_blocks_its_host_alone() {
    let mut case = Case::of(&SHOP.replace("db: {}", "db: { engine: { labels: { tier: data } } }")).desired(SHOP);
    case.snapshot.machines.remove("web-1");
    case.snapshot.broken.insert("web-1".to_owned(), "record.json: line 3, column 1: nonsense".to_owned());
    insta::assert_snapshot!(case.text(), @r"
      db
        ~ upgrade engine       labels.tier: data → web
      web-1
        ! keep    instance     blocked: record.json: line 3, column 1: nonsense
    1 step on 1 of 3 hosts: 1 to upgrade, 6 to keep.
    ");
}

/// Pain 8: what an earlier run began is known.
#[test]
fn interrupted_steps_are_done_again() {
    let case = Case::of(SHOP)
        .record("db", |r| {
            r.instance = None;
            r.certificate = None;
            r.engine = None;
            r.pending.insert(Part::Instance, Pending::Create);
        })
        .record("web-1", |r| {
            r.pending.insert(Part::Engine, Pending::Upgrade);
        })
        .record("web-2", |r| {
            r.pending.insert(Part::Instance, Pending::Rm);
        });
    insta::assert_snapshot!(case.text(), @r"
      db
        + create  instance     an earlier create did not finish
        + create  certificate  the instance is new
        + create  engine       the instance is new
      web-1
        ~ upgrade engine       an earlier upgrade did not finish
      web-2
        ! keep    instance     blocked: its removal was begun and did not finish, and it is not known whether it is still there; end the removal with `machine rm web-2`, or look again
    4 steps on 2 of 3 hosts: 3 to create, 1 to upgrade, 3 to keep.
    ");
    let refused = guard::refusals(&case.plan(), &case.snapshot, Limit::number(1), guard::Consent::default());
    assert_eq!(refused, [], "finishing what was begun needs no new consent");
}

/// Also when all that is known of a part is that it was begun.
#[test]
fn a_part_that_was_begun_and_never_made_is_interrupted() {
    let case = Case::of(SHOP)
        .record("db", |r| {
            r.certificate = None;
            r.engine = None;
            r.pending.insert(Part::Certificate, Pending::Create);
        })
        .record("web-1", |r| {
            r.engine = None;
            r.pending.insert(Part::Engine, Pending::Create);
        });
    insta::assert_snapshot!(case.text(), @r"
      db
        + create  certificate  an earlier create did not finish
        + create  engine       not recorded
      web-1
        + create  engine       an earlier create did not finish
    3 steps on 2 of 3 hosts: 3 to create, 6 to keep.
    ");
}

type Drift = (&'static str, fn(&mut Observed));

#[test]
fn what_has_drifted_is_named_once_and_mended() {
    let drifts: [Drift; 9] = [
        ("power", |o| o.power = Power::Stopped),
        ("gone", |o| o.power = Power::Gone),
        ("address", |o| {
            let ssh = SshEndpoint {
                host: "192.0.2.99".into(),
                port: 22,
                user: "root".into(),
                key: None,
                passphrase: None,
                jump: None,
            };
            o.instance = Some(Instance {
                id: "i-0".into(),
                address: "192.0.2.99".into(),
                ssh: Some(ssh),
                url: None,
                host_keys: vec![],
                jump_keys: vec![],
            });
        }),
        ("certificate on the host", |o| {
            facts(o).files.remove("/etc/docker/server.pem");
            o.api = ApiFact::Failed("unknown authority".into());
        }),
        ("certificate in the store", |o| o.local_certificate = None),
        ("authority in the store", |o| o.local_ca = Some("fe".repeat(32))),
        ("api", |o| o.api = ApiFact::Failed("connection refused".into())),
        ("host", |o| o.host = Reach::Failed("`db`: cannot connect to 192.0.2.10:22: no route to host".into())),
        ("unknown", |o| {
            o.power = Power::Unknown;
            o.host = Reach::NotAsked;
            o.api = ApiFact::NotAsked;
        }),
    ];
    let texts: Vec<String> = drifts
        .into_iter()
        .map(|(what, change)| format!("# {what}\n{}\n", Case::of(SHOP).seen("db", change).text()))
        .collect();
    insta::assert_snapshot!(texts.join("\n"));
}

/// Pain 17: certificates that end soon are renewed, and so are those that do not name the host's address.
#[test]
fn certificates_end_and_addresses_change() {
    let case = Case::of(SHOP)
        .record("db", |r| r.certificate.as_mut().unwrap().not_after = NOW.plus_days(29))
        .record("web-1", |r| r.certificate.as_mut().unwrap().not_after = NOW.plus_days(31));
    insta::assert_snapshot!(case.text(), @r"
      db
        ~ upgrade certificate  ends 2027-02-13T08:00:00Z
    1 step on 1 of 3 hosts: 1 to upgrade, 8 to keep.
    ");
    let case = Case::of(SHOP).desired(&SHOP.replace("db: {}", "db: { tls-names: [db.example] }"));
    insta::assert_snapshot!(case.text(), @r"
      db
        ~ upgrade certificate  names: 127.0.0.1, 192.0.2.10, db, localhost → 127.0.0.1, 192.0.2.10, db, db.example, localhost
    1 step on 1 of 3 hosts: 1 to upgrade, 8 to keep.
    ");
}

#[test]
fn the_json_form_is_versioned_and_says_the_same() {
    let case = Case::of(SHOP).desired(&SHOP.replace("db: {}", "db: { engine: { labels: { tier: data } } }"));
    let mut json = case.plan().to_json();
    let steps = json["steps"].as_array_mut().unwrap();
    steps.retain(|s| s["action"] != "keep");
    insta::assert_json_snapshot!(json, @r#"
    {
      "version": 1,
      "fleet": "shop",
      "changes": 1,
      "summary": {
        "create": 0,
        "upgrade": 1,
        "rm": 0,
        "run": 0,
        "keep": 8
      },
      "steps": [
        {
          "id": "db/engine",
          "machine": "db",
          "part": "engine",
          "action": "upgrade",
          "reasons": [
            {
              "kind": "changed",
              "text": "labels.tier: web → data",
              "what": "labels.tier",
              "old": "web",
              "new": "data"
            }
          ],
          "needs": [
            "db/certificate"
          ]
        }
      ]
    }
    "#);
}

#[test]
fn a_fleet_compared_with_its_own_records_has_no_drift() {
    let case = Case::of(&SHOP.replace("db: {}", "db: { tls-names: [db.example], protect: true }"));
    let hosts = case.snapshot.machines.iter().map(|(n, k)| (n.clone(), fleet::HostSpec::recorded(&k.record)));
    let recorded = Fleet { hosts: hosts.collect(), ..case.fleet.clone() };
    let drivers = Drivers::built_in();
    let inputs = Inputs { drivers: &drivers, provisioners: PROVISIONERS, now: NOW, prune: false };
    assert!(Plan::new(&recorded, &case.snapshot, &inputs).is_noop());
}

/// Records of different times can contradict each other; an order of removal is found all the same.
#[test]
fn recorded_orders_that_contradict_each_other_are_no_obstacle() {
    let mut case = Case::of(SHOP)
        .record("db", |r| r.depends_on = BTreeSet::from([name("web-1")]))
        .desired("fleet: shop\nhosts: {}\n");
    case.prune = true;
    assert_eq!(case.plan().changes().count(), 3);
}
