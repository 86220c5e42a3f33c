//! The TLS identity of an engine: its names, its end, and where its files lie.

use super::{Ask, OnHost, difference, is_off, list, unrecorded};
use crate::{
    engine::Api,
    fleet::HostSpec,
    name::MachineName,
    part::{Action, Reason, Step, Work},
    provisioner::{CERT_DIR, Difference},
    record::{self, CertificateRecord, Known, Observed, Part, Reach},
    tls::{Flawed, Repair, Role},
};
use std::collections::BTreeSet;

pub(super) const PART: OnHost = OnHost {
    part: Part::Certificate,
    wanted: |spec| spec.engine.as_ref().is_some_and(|engine| engine.api == Api::Tls),
    made: |spec| work(spec, true),
    stays,
    does: |work| matches!(work, Work::Certificate { .. }),
    is_recorded: |record| record.certificate.is_some(),
};

fn work(spec: &HostSpec, issue: bool) -> Work {
    Work::Certificate { names: spec.tls_names.clone(), issue }
}

fn stays(ask: &Ask<'_>) -> Step {
    let Ask { name, spec, known, now, renew_before_days, .. } = *ask;
    let step = |action, reasons, issue| Step { action, reasons, work: work(spec, issue) };
    let Known { record, observed } = known;
    let Some(recorded) = &record.certificate else {
        return step(Action::Create, vec![unrecorded(record, Part::Certificate)], true);
    };
    let mut reasons = Vec::new();
    if let Some(pending) = record.pending.get(&Part::Certificate) {
        reasons.push(Reason::Interrupted(*pending));
    }
    let seen = observed.as_ref().and_then(|o| o.instance.as_ref()).or(record.instance.as_ref());
    let names = record::certificate_names(name, seen.map_or("", |i| &i.address), &spec.tls_names);
    // Names that are there only as a convenience are no reason to disturb an engine (docker-machine left them out).
    let convenient = record::certificate_names(name, "", &BTreeSet::new());
    if !recorded.names.symmetric_difference(&names).all(|differs| convenient.contains(differs)) {
        reasons.push(Reason::Changed(difference("names", list(&recorded.names).as_deref(), list(&names).as_deref())));
    }
    if recorded.not_after <= now.plus_days(renew_before_days) {
        reasons.push(Reason::Expires(recorded.not_after));
    }
    let local = observed.as_ref().map_or(&[][..], |o| &o.local);
    if let Some(observed) = observed {
        reasons.extend(local_drift(recorded, observed).map(Reason::Drifted));
    }
    let issue = !reasons.is_empty() || local.iter().any(|flawed| flawed.repair == Repair::Issue);
    // Without its key an authority is good for all but issuing.
    let flawed: Vec<&Flawed> = local.iter().filter(|flawed| issue || flawed.role != Role::AuthorityKey).collect();
    // What is wrong says more than what follows from it.
    reasons.splice(0..0, flawed.iter().map(|flawed| Reason::Local((*flawed).clone())));
    if let Some(worst) = flawed.iter().max_by_key(|flawed| flawed.repair).filter(|flawed| flawed.repair > Repair::Issue)
    {
        let why = stuck(name, worst);
        reasons.push(Reason::Blocked(why.clone()));
        return Step { action: Action::Keep, reasons, work: Work::Blocked(why) };
    }
    if issue {
        return step(Action::Upgrade, reasons, true);
    }
    let on_host = observed.iter().flat_map(|o| host_certificate_drift(recorded, o)).map(Reason::Drifted);
    reasons.extend(on_host);
    if is_off(observed.as_ref()) {
        reasons.push(Reason::Restarted);
    }
    if reasons.is_empty() { Step::keep(Reason::UpToDate) } else { step(Action::Upgrade, reasons, false) }
}

/// Why only a person can go on, and how.
fn stuck(name: &MachineName, worst: &Flawed) -> String {
    let Flawed { file, role, repair, .. } = worst;
    match (repair, role) {
        (Repair::Yours, Role::Client | Role::ClientKey) if file.starts_with('/') => format!(
            "{worst}; it is not the store's, so it is left as it is. To have it made again there: \
             machine regenerate-certs --client-certs {name}"
        ),
        (Repair::Yours, _) if file.starts_with('/') => format!(
            "{worst}; it is not the store's, so it is left as it is: replace it, or move it away together with its key to \
             have both made there"
        ),
        (Repair::Yours, _) => format!("{worst}; let your user read it"),
        _ => format!(
            "{worst}; without the authority's key only a new authority helps, which every engine of it must be given: \
             machine regenerate-certs --new-authority {name}"
        ),
    }
}

/// How the files in the store differ from what was issued; only a new certificate corrects that.
fn local_drift<'a>(recorded: &'a CertificateRecord, observed: &'a Observed) -> impl Iterator<Item = Difference> + 'a {
    let pairs = [
        ("server.pem in the store", &observed.local_certificate, &recorded.sha256),
        ("ca.pem in the store", &observed.local_ca, &recorded.ca_sha256),
    ];
    // One that is put back as it was needs no new certificate.
    let restored = observed.local.iter().any(|flawed| flawed.role == Role::Authority && flawed.repair == Repair::Put);
    let differs = move |(what, found, wanted): &(&str, &Option<String>, &String)| {
        found.as_ref() != Some(*wanted) && !(restored && what.starts_with("ca.pem"))
    };
    pairs.into_iter().filter(differs).map(|(what, found, wanted)| {
        let found = found.as_deref().map(short);
        difference(what, found, Some(short(wanted)))
    })
}

/// How the files on the host differ from what was issued; putting them back corrects that.
#[must_use]
pub fn host_certificate_drift(recorded: &CertificateRecord, observed: &Observed) -> Vec<Difference> {
    let Reach::Answered(facts) = &observed.host else { return Vec::new() };
    let mut found = Vec::new();
    let mut file = |name: &str, wanted: Option<&str>| {
        let path = format!("{CERT_DIR}/{name}");
        let sha256 = facts.files.get(&path).map(|f| f.sha256.as_str());
        if sha256.is_none() || wanted.is_some_and(|w| sha256 != Some(w)) {
            found.push(difference(&path, sha256.map(short), Some(wanted.map_or("there", short))));
        }
    };
    file("ca.pem", Some(&recorded.ca_sha256));
    file("server.pem", Some(&recorded.sha256));
    file("server-key.pem", None);
    found
}

/// Enough of a digest for a person.
fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
