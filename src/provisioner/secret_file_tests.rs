use super::super::{Script, facts::FileFact, fixtures};
use super::*;
use crate::{
    digest::sha256_hex,
    secret::{Reveal, Revealed, Secret, SecretError},
};

/// Whatever is asked for, with its reference before it.
struct Known(&'static str);

impl Reveal for Known {
    fn reveal(&self, _: &Secret) -> Result<Revealed, SecretError> {
        Ok(Revealed::new(self.0.to_owned()))
    }
}

fn want(names: &[&str]) -> EngineSpec {
    let mut want = fixtures::want();
    for name in names {
        want.env.insert((*name).to_owned(), Secret::Env("THEIRS".to_owned()).into());
    }
    want
}

fn revealed(names: &[&str], value: &'static str) -> EngineSpec {
    let mut want = want(names);
    want.reveal(&Known(value)).unwrap();
    want
}

/// A host on which the file holds this.
fn host(text: Option<&str>) -> Facts {
    let mut facts = fixtures::facts("debian-12-docker-io");
    if let Some(text) = text {
        let fact = FileFact { sha256: sha256_hex(text.as_bytes()), mode: "600".to_owned() };
        facts.files.insert(PATH.to_owned(), fact);
        facts.secret_head = text.lines().next().map(str::to_owned);
    }
    facts
}

fn told(facts: &Facts, want: &EngineSpec) -> Vec<String> {
    let all = SecretFile::of(facts, want).unwrap().differences;
    all.into_iter()
        .map(|d| format!("{}: {} -> {}", d.what, d.found.unwrap_or_default(), d.wanted.unwrap_or_default()))
        .collect()
}

/// Runs what writes the file in a real shell, elsewhere, and gives what is there then.
fn written(want: &EngineSpec) -> (String, u32) {
    let op = SecretFile::of(&host(None), want).unwrap().op.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("machine.env");
    // The path is the last word; nothing else of the script knows it.
    let script = Script(vec![op]).render().to_string().replace(PATH, path.to_str().unwrap());
    let (status, _, stderr) = fixtures::sh(&["sh", "-s"], &format!("{script}\n"));
    assert_eq!((status, stderr.as_str()), (0, ""));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    (std::fs::read_to_string(&path).unwrap(), mode & 0o777)
}

#[test]
fn what_was_written_is_what_is_wanted_and_nothing_else_is() {
    let nasty = "http://u:p\"a\\s$(id)`id`%h 'x'\n\tß@proxy";
    let names = ["HTTPS_PROXY", "HTTP_PROXY"];
    let (text, mode) = written(&revealed(&names, nasty));
    assert_eq!(mode, 0o600);
    assert_eq!(text.lines().next().unwrap().len(), HEAD.len() + 64 + " HTTPS_PROXY HTTP_PROXY".len());
    assert_eq!(told(&host(Some(&text)), &revealed(&names, nasty)), [""; 0]);
    let (again, _) = written(&revealed(&names, nasty));
    assert_ne!(text.lines().next(), again.lines().next(), "each file has a salt of its own");
    assert_eq!(
        told(&host(Some(&text)), &revealed(&names, "http://proxy")),
        ["env HTTPS_PROXY, HTTP_PROXY: another value -> that of { env: THEIRS }, { env: THEIRS }"]
    );
}

#[test]
fn a_look_without_the_secret_sees_all_but_the_value() {
    let (text, _) = written(&revealed(&["HTTP_PROXY"], "hunter2"));
    assert_eq!(told(&host(Some(&text)), &want(&["HTTP_PROXY"])), [""; 0]);
    assert_eq!(told(&host(None), &want(&["HTTP_PROXY"])), ["env HTTP_PROXY:  -> { env: THEIRS }"]);
    assert_eq!(
        told(&host(Some(&text)), &want(&["NO_PROXY"])),
        ["env HTTP_PROXY: a secret -> ", "env NO_PROXY:  -> { env: THEIRS }"]
    );
    assert_eq!(told(&host(Some(&text)), &want(&[])), ["env HTTP_PROXY: a secret -> "]);
    let mut loose = host(Some(&text));
    loose.files.get_mut(PATH).unwrap().mode = "644".to_owned();
    assert_eq!(told(&loose, &want(&["HTTP_PROXY"])), [format!("mode of {PATH}: 644 -> 600")]);
    assert_eq!(told(&host(Some("somebody else's\n")), &want(&[])), [format!("file {PATH}: there -> ")]);
}

#[test]
fn no_difference_and_no_title_has_the_value() {
    let spec = revealed(&["HTTP_PROXY"], "hunter2");
    let file = SecretFile::of(&host(Some("# machine 00 HTTP_PROXY\nHTTP_PROXY=\"old\"\n")), &spec).unwrap();
    assert!(!format!("{:?}", file.differences).contains("hunter2"));
    assert!(!file.op.unwrap().title.contains("hunter2"));
    let why = SecretFile::of(&host(None), &revealed(&["HTTP_PROXY"], "hunter2\u{7}")).unwrap_err();
    assert!(!format!("{why} {}", why.help).contains("hunter2"), "{why}");
}
