//! A fleet, what is recorded of it and what is found, for tests of plans.

use super::NOW;
use machine::{
    driver::Drivers,
    fleet::{self, Fleet},
    name::MachineName,
    plan::{Inputs, Plan, audit::audit},
    provisioner::{CERT_DIR, Facts, OsRelease, PROVISIONERS, facts::FileFact},
    record::{
        ApiFact, CertificateRecord, EngineRecord, Instance, Known, MachineRecord, Observed, Power, Reach, Snapshot,
        SshEndpoint, certificate_names,
    },
};
use std::collections::BTreeMap;

pub(super) const SHOP: &str = "
fleet: shop
drivers:
  lab: { driver: nspawn, image: debian-12, memory: 1GiB }
defaults:
  driver: lab
  engine: { labels: { tier: web } }
hosts:
  db: {}
  web: { count: 2, depends_on: [db] }
";

fn load(text: &str) -> Fleet {
    let inputs = fleet::Inputs::default();
    fleet::load("fleet.yaml", text, &inputs, &machine::driver::Drivers::built_in())
        .unwrap_or_else(|e| panic!("{:?}", e.problems()))
}

pub(super) fn name(text: &str) -> MachineName {
    MachineName::new(text).unwrap()
}

/// The record of a machine that was applied as the fleet says.
fn applied(fleet: &Fleet, host: &MachineName, number: usize) -> MachineRecord {
    let spec = &fleet.hosts[host];
    let mut record = MachineRecord::new(host.clone(), Some(fleet.name.clone()), &spec.driver, spec.options.clone());
    let address = format!("192.0.2.{}", number + 10);
    record.depends_on.clone_from(&spec.depends_on);
    record.protect = spec.protect;
    record.certificate = Some(CertificateRecord {
        sha256: "c0ffee".repeat(10),
        ca_sha256: "ca".repeat(32),
        names: certificate_names(host, &address, &spec.tls_names),
        not_after: NOW.plus_days(400),
    });
    record.engine = spec.engine.clone().map(|spec| EngineRecord {
        spec,
        version: "20.10.24".to_owned(),
        provisioner: "debian".to_owned(),
        os: "Debian GNU/Linux 12 (bookworm)".to_owned(),
    });
    record.instance = Some(Instance {
        id: format!("i-{number}"),
        address: address.clone(),
        ssh: Some(SshEndpoint {
            host: address,
            port: 22,
            user: "root".to_owned(),
            key: None,
            passphrase: None,
            jump: None,
        }),
        url: None,
        host_keys: vec!["ssh-ed25519 AAAA".to_owned()],
        jump_keys: Vec::new(),
    });
    record
}

fn all_applied(fleet: &Fleet) -> Snapshot {
    let known = |(number, host): (usize, &MachineName)| {
        (host.clone(), Known { record: applied(fleet, host, number), observed: None })
    };
    Snapshot { machines: fleet.hosts.keys().enumerate().map(known).collect(), ..Snapshot::default() }
}

/// What a look at a machine finds on which nothing has changed but its engine's own configuration, which these
/// tests do not compare: the host is of a distribution that no provisioner knows.
fn well(record: &MachineRecord) -> Observed {
    let certificate = record.certificate.as_ref().unwrap();
    let file = |sha256: &str| FileFact { sha256: sha256.to_owned(), mode: "644".to_owned() };
    let facts = Facts {
        os: Some(OsRelease { id: "elsewhere".to_owned(), ..OsRelease::default() }),
        files: BTreeMap::from([
            (format!("{CERT_DIR}/ca.pem"), file(&certificate.ca_sha256)),
            (format!("{CERT_DIR}/server.pem"), file(&certificate.sha256)),
            (format!("{CERT_DIR}/server-key.pem"), file("of the key")),
        ]),
        ..Facts::default()
    };
    Observed {
        power: Power::Running,
        instance: None,
        host: Reach::Answered(Box::new(facts)),
        api: ApiFact::Answered("20.10.24".to_owned()),
        local_certificate: Some(certificate.sha256.clone()),
        local_ca: Some(certificate.ca_sha256.clone()),
        local: Vec::new(),
    }
}

pub(super) struct Case {
    pub(super) fleet: Fleet,
    pub(super) snapshot: Snapshot,
    pub(super) prune: bool,
}

impl Case {
    pub(super) fn of(text: &str) -> Self {
        let fleet = load(text);
        let snapshot = all_applied(&fleet);
        Self { fleet, snapshot, prune: false }
    }

    pub(super) fn desired(mut self, text: &str) -> Self {
        self.fleet = load(text);
        self
    }

    pub(super) fn record(mut self, host: &str, change: impl FnOnce(&mut MachineRecord)) -> Self {
        change(&mut self.snapshot.machines.get_mut(host).unwrap().record);
        self
    }

    /// All are looked at; `change` is what is found on one of them.
    pub(super) fn seen(mut self, host: &str, change: impl FnOnce(&mut Observed)) -> Self {
        for known in self.snapshot.machines.values_mut() {
            known.observed = Some(well(&known.record));
        }
        change(self.snapshot.machines.get_mut(host).unwrap().observed.as_mut().unwrap());
        self
    }

    pub(super) fn plan(&self) -> Plan {
        let drivers = Drivers::built_in();
        let inputs = Inputs { drivers: &drivers, provisioners: PROVISIONERS, now: NOW, prune: self.prune };
        let plan = Plan::new(&self.fleet, &self.snapshot, &inputs);
        assert_eq!(audit(&plan), [], "{plan}");
        for _ in 0..20 {
            let again = Plan::new(&self.fleet, &self.snapshot, &inputs);
            assert_eq!(
                (again.to_string(), again.to_json()),
                (plan.to_string(), plan.to_json()),
                "same input, same bytes"
            );
        }
        plan
    }

    pub(super) fn text(&self) -> String {
        self.plan().to_string()
    }
}

pub(super) fn facts(observed: &mut Observed) -> &mut Facts {
    let Reach::Answered(facts) = &mut observed.host else { panic!("a host that answered") };
    facts
}
