//! What is fed with hostile bytes: everything that reads what others wrote. Each target ends, whatever it is given, and
//! what it accepts reads back as it writes it.
//!
//! `tests/it/fuzz.rs` runs them for some seconds in every test run, `cargo fuzz` for as long as one likes.

#[path = "words.rs"]
mod words;

use machine::{
    age,
    archive::Archive,
    fleet,
    history::{History, Pick},
    name::MachineName,
    plan::document::Document,
    provisioner::{OsRelease, facts, script},
    record::{
        codec::{self, Unknown},
        docker_machine::{ConfigFile, Place},
        folder, kdl,
    },
    secret::Secret,
    template::{Template, value},
    transport::ssh_config::{Ask, Rules, Tokens},
};
use serde_json::Value;
use words::{AGE, FACTS, FLEET, FLEET_KDL, JSON, KDL, PLAN, SSH_CONFIG, TEMPLATE};

/// One target.
pub(crate) struct Target {
    /// Its name, and that of its corpus.
    pub(crate) name: &'static str,
    /// What is done with the bytes.
    pub(crate) run: fn(&[u8]),
    /// What its language is made of, for those who mutate.
    pub(crate) words: &'static [&'static str],
}

/// All targets.
pub(crate) const TARGETS: &[Target] = &[
    Target { name: "fleet", run: fleet, words: FLEET },
    Target { name: "fleet_kdl", run: fleet_kdl, words: FLEET_KDL },
    Target { name: "plan", run: plan, words: PLAN },
    Target { name: "history", run: history, words: PLAN },
    Target { name: "ssh_config", run: ssh_config, words: SSH_CONFIG },
    Target { name: "record", run: record, words: JSON },
    Target { name: "record_kdl", run: record_kdl, words: KDL },
    Target { name: "config_json", run: config_json, words: JSON },
    Target { name: "facts", run: facts, words: FACTS },
    Target { name: "age", run: age, words: AGE },
    Target { name: "archive", run: archive, words: JSON },
    Target { name: "template", run: template, words: TEMPLATE },
    Target { name: "secret", run: secret, words: JSON },
];

/// As text, which all that is read here is; what is none is no file of ours.
fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn fleet(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let mut inputs = fleet::Inputs::default();
    inputs.env.insert("HOME".to_owned(), "/root".to_owned());
    for name in ["fleet.yaml", "fleet.kdl"] {
        match fleet::load(name, text, &inputs, &machine::driver::Drivers::built_in()) {
            Ok(loaded) => {
                let again = fleet::load(name, text, &inputs, &machine::driver::Drivers::built_in())
                    .expect("what loads once loads twice");
                assert_eq!(loaded, again);
            }
            // As it is told: places must lie within the text.
            Err(problems) => {
                let mut told = String::new();
                let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
                handler.render_report(&mut told, &problems).expect("a string takes everything");
            }
        }
    }
    if let Ok(formed) = fleet::format("fleet.yaml", text) {
        let again = fleet::format("fleet.yaml", &formed).expect("what was formed can be formed");
        assert_eq!(formed, again, "forming twice is forming once");
    }
}

fn fleet_kdl(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    if let Err(problems) =
        fleet::load("fleet.kdl", text, &fleet::Inputs::default(), &machine::driver::Drivers::built_in())
    {
        let mut told = String::new();
        let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor());
        handler.render_report(&mut told, &problems).expect("a string takes everything");
    }
    if let Ok(formed) = fleet::format("fleet.kdl", text) {
        let again = fleet::format("fleet.kdl", &formed).expect("what was formed can be formed");
        assert_eq!(formed, again, "forming twice is forming once");
    }
}

fn plan(bytes: &[u8]) {
    let Ok(document) = serde_json::from_slice::<Document>(bytes) else { return };
    let digest = document.digest();
    let written = serde_json::to_vec(&document).expect("a document is plain data");
    let again: Document = serde_json::from_slice(&written).expect("what was written can be read");
    assert_eq!(again.digest(), digest);
    let Ok(plan) = document.plan() else { return };
    assert!(plan.to_json().is_object());
    let _ = (plan.summary(), plan.to_string(), plan.is_noop());
    for (id, _) in plan.steps.nodes() {
        assert_eq!(id.to_string().parse().as_ref(), Ok(id), "the name of a step reads back");
    }
}

fn history(bytes: &[u8]) {
    for pick in [Pick::default(), Pick { about: Some("web".to_owned()), limit: Some(2) }] {
        let history = History::read(bytes, &pick);
        let written = serde_json::to_string(&history).expect("a history is plain data");
        let again: History = serde_json::from_str(&written).expect("what was written can be read");
        assert_eq!(again, history);
    }
}

fn ssh_config(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(rules) = Rules::parse("config", text) else { return };
    for alias in ["web-1", "gate.example.org", ""] {
        let ask =
            Ask { alias: alias.to_owned(), local_user: "me".to_owned(), home: "/home/me".to_owned(), ..Ask::default() };
        let Ok(settings) = rules.settings(&ask) else { continue };
        let tokens = Tokens {
            host: settings.host_name.clone().unwrap_or_default(),
            name: alias.to_owned(),
            port: settings.port.unwrap_or(22),
            remote_user: settings.user.clone().unwrap_or_default(),
            local_user: "me".to_owned(),
            home: "/home/me".to_owned(),
            vars: ask.vars.clone(),
        };
        settings.identity_files.iter().for_each(|file| drop(tokens.path(file)));
    }
}

fn record(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(document) = codec::decode(text) else { return };
    let unknown = Unknown::of(text, &document);
    let written = codec::encode(&document.record, &document.beside, &unknown);
    let again = codec::decode(&written).unwrap_or_else(|e| panic!("{e}\n{written}"));
    assert_eq!(again, document, "{written}");
    assert_eq!(Unknown::of(&written, &again), unknown, "{written}");
    let mut there = folder::written(&document.record, "/store/machines/web-1");
    folder::read(&mut there, "/store/machines/web-1");
    assert_eq!(there, document.record);
}

fn record_kdl(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(document) = kdl::decode(text) else { return };
    let written = codec::encode(&document.record, &document.beside, &Unknown::default());
    let again = codec::decode(&written).unwrap_or_else(|e| panic!("{e}\n{written}"));
    assert_eq!(again, document, "{written}");
    assert!(!kdl::is_stub(bytes));
}

fn config_json(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let name = MachineName::new("web-1").expect("it is a name");
    let place = Place { root: "/store", name: &name };
    let Ok(mut config) = ConfigFile::parse(text, place) else { return };
    let record = config.to_record(place, config.foreign_options());
    config.update(place, &record, Vec::new());
    let again = ConfigFile::parse(&config.text(), place).expect("what was written can be read");
    assert_eq!(again.text(), config.text());
}

fn facts(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let os = OsRelease::parse(&text);
    assert!(format!("{os:?}").len() < 64 * (text.len() + 64));
    text.lines().for_each(|line| drop(script::progress(line)));
    let Ok(facts) = facts::parse(&text) else { return };
    let want = machine::engine::EngineSpec { port: 2376, ..Default::default() };
    for provisioner in machine::provisioner::PROVISIONERS {
        let _ = provisioner.differences(&facts, &want);
        if let Ok(script) = provisioner.engine(&facts, &want) {
            assert!(!script.render().as_str().contains('\0'));
        }
    }
}

fn age(bytes: &[u8]) {
    let _ = age::opens(bytes);
    // A passphrase takes a second each, as it should; keys are quick.
    let _ = age::decrypt(&age::Key::Identities(Vec::new()), bytes);
    if let Some(text) = text(bytes) {
        let _ = age::Identity::all(text);
    }
}

fn archive(bytes: &[u8]) {
    let Ok(archive) = Archive::parse(bytes) else { return };
    let again = Archive::parse(archive.text().as_bytes()).expect("what was written can be read");
    assert_eq!(again.text(), archive.text());
}

fn template(bytes: &[u8]) {
    let Some(text) = text(bytes) else { return };
    let Ok(template) = Template::parse(text) else { return };
    let data: Value = serde_json::json!({"Name": "web-1", "Driver": {"IPAddress": "192.0.2.1", "Ports": [22, 2376], "On": true, "None": null}});
    let mut out = String::new();
    let _ = template.execute(&value::Value::from(&data), &mut out);
}

fn secret(bytes: &[u8]) {
    let Ok(value) = serde_json::from_slice::<Value>(bytes) else { return };
    let Ok(secret) = Secret::from_json(&value) else { return };
    assert_eq!(Secret::from_json(&secret.to_json()), Ok(secret));
}
