//! dockerd: how two differ, field by field, and how one differs from what was applied to it.

use super::{Ask, OnHost, certificate::host_certificate_drift, difference, is_off, unrecorded};
use crate::{
    engine::{Api, EngineSpec, Variable, env as variable},
    fleet::HostSpec,
    part::{Action, Reason, Step, Work},
    provisioner::{self, Difference, Provisioners},
    record::{ApiFact, EngineRecord, Known, MachineRecord, Observed, Part, Reach},
};
use serde_json::Value;
use std::collections::BTreeSet;

pub(super) const PART: OnHost = OnHost {
    part: Part::Engine,
    wanted: |spec| spec.engine.is_some(),
    made,
    stays,
    does: |work| matches!(work, Work::Engine(_) | Work::NewestEngine(_)),
    is_recorded: |record| record.engine.is_some(),
};

fn made(spec: &HostSpec) -> Work {
    spec.engine.as_ref().map_or(Work::Nothing, |wanted| Work::Engine(Box::new(wanted.clone())))
}

fn stays(ask: &Ask<'_>) -> Step {
    let Ask { spec, known, .. } = *ask;
    let Some(wanted) = &spec.engine else { return Step::keep(Reason::UpToDate) };
    let step = |action, reasons| Step { action, reasons, work: made(spec) };
    let Known { record, observed } = known;
    let Some(recorded) = &record.engine else {
        return step(Action::Create, vec![unrecorded(record, Part::Engine)]);
    };
    let mut reasons: Vec<Reason> = changes(&recorded.spec, wanted).into_iter().map(Reason::Changed).collect();
    if let Some(pending) = record.pending.get(&Part::Engine) {
        reasons.push(Reason::Interrupted(*pending));
    }
    if let Some(observed) = observed {
        reasons.extend(drift(record, recorded, observed, ask.provisioners).into_iter().map(Reason::Drifted));
    }
    if is_off(observed.as_ref()) {
        reasons.push(Reason::Restarted);
    }
    if !reasons.is_empty() {
        return step(Action::Upgrade, reasons);
    }
    let unknown = recorded.spec.secrets().find_map(|(_, secret)| secret.error());
    Step::keep(unknown.map_or(Reason::UpToDate, |error| Reason::NotCompared(error.to_string())))
}

/// What the fleet file says otherwise than the record, under the names the file has.
fn changes(recorded: &EngineSpec, wanted: &EngineSpec) -> Vec<Difference> {
    // Both by name, so that a new field of the spec is compared or does not compile.
    let EngineSpec {
        version,
        source,
        mirror,
        install_url,
        api,
        port,
        labels,
        registry_mirrors,
        insecure_registries,
        env,
        daemon,
        open_firewall,
    } = wanted;
    let mut found = Vec::new();
    let mut field = |what: &str, old: Option<String>, new: Option<String>| {
        if old != new {
            found.push(Difference { what: what.to_owned(), found: old, wanted: new });
        }
    };
    let text = |v: &dyn erased::Show| v.show();
    field("version", text(&recorded.version), text(version));
    field("source", text(&recorded.source), text(source));
    field("mirror", recorded.mirror.clone(), mirror.clone());
    let url = |url: &Option<String>| url.as_deref().map(variable::without_passwords);
    let (old, new) = (url(&recorded.install_url), url(install_url));
    field("install-url", old.clone(), told_apart(old.as_ref(), new, recorded.install_url != *install_url));
    field("api", text(&recorded.api), text(api));
    field("port", Some(recorded.port.to_string()), Some(port.to_string()));
    for key in keys(recorded.labels.keys(), labels.keys()) {
        field(&format!("labels.{key}"), recorded.labels.get(key).cloned(), labels.get(key).cloned());
    }
    let list = |items: &[String]| (!items.is_empty()).then(|| items.join(", "));
    field("registry-mirrors", list(&recorded.registry_mirrors), list(registry_mirrors));
    field("insecure-registries", list(&recorded.insecure_registries), list(insecure_registries));
    for key in keys(recorded.env.keys(), env.keys()) {
        let (was, is) = (recorded.env.get(key), env.get(key));
        let old = was.map(Variable::shown);
        let new = told_apart(old.as_ref(), is.map(Variable::shown), was != is);
        field(&format!("env.{key}"), old, new);
    }
    for key in keys(recorded.daemon.keys(), daemon.keys()) {
        let (was, is) = (recorded.daemon.get(key), daemon.get(key));
        let text = |value: Option<&Value>| value.map(|v| variable::without_passwords(&v.to_string()));
        let new = told_apart(text(was).as_ref(), text(is), was != is);
        field(&format!("daemon.{key}"), text(was), new);
    }
    field("open-firewall", Some(recorded.open_firewall.to_string()), Some(open_firewall.to_string()));
    found
}

/// Two values that differ and look the same differ in what is not shown.
fn told_apart(old: Option<&String>, new: Option<String>, differ: bool) -> Option<String> {
    if differ && old == new.as_ref() { new.map(|text| text + " (another password)") } else { new }
}

fn keys<'a>(a: impl Iterator<Item = &'a String>, b: impl Iterator<Item = &'a String>) -> BTreeSet<&'a String> {
    a.chain(b).collect()
}

/// Texts of values that a fleet file writes as one word.
mod erased {
    use crate::engine::{Api, Source, VersionPin};

    pub(super) trait Show {
        fn show(&self) -> Option<String>;
    }

    impl Show for Option<VersionPin> {
        fn show(&self) -> Option<String> {
            self.as_ref().map(ToString::to_string)
        }
    }

    impl Show for Source {
        fn show(&self) -> Option<String> {
            word(self)
        }
    }

    impl Show for Api {
        fn show(&self) -> Option<String> {
            word(self)
        }
    }

    fn word(value: &impl serde::Serialize) -> Option<String> {
        serde_json::to_value(value).ok().and_then(|v| v.as_str().map(str::to_owned))
    }
}

/// What the world says otherwise than the record. Names causes, not their consequences: an engine that
/// is stopped is not also reported as not answering.
fn drift(record: &MachineRecord, recorded: &EngineRecord, observed: &Observed, table: Provisioners) -> Vec<Difference> {
    if observed.power.is_off() {
        return Vec::new();
    }
    let Reach::Answered(facts) = &observed.host else { return Vec::new() };
    let provisioner = facts.os.as_ref().and_then(|os| provisioner::detect(table, os));
    let found = provisioner.map(|p| p.differences(facts, &recorded.spec)).unwrap_or_default();
    if !found.is_empty() {
        return found;
    }
    let certificate_drifted = record.certificate.as_ref().is_some_and(|c| {
        recorded.spec.api == Api::Tls
            && (!host_certificate_drift(c, observed).is_empty()
                || observed.local_certificate.as_ref() != Some(&c.sha256)
                || observed.local_ca.as_ref() != Some(&c.ca_sha256)
                || observed.local.iter().any(|flawed| flawed.role.is_used_with_engine()))
    });
    match &observed.api {
        ApiFact::Failed(why) if !certificate_drifted => vec![difference("api", Some(why), Some("answers"))],
        _ => Vec::new(),
    }
}
