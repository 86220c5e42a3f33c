//! Our reading of an `ssh_config` beside OpenSSH's: `ssh -G` says what it would do, and we must say the same.
//!
//! Without `ssh` the tests say `SKIPPED` and why; `MACHINE_LAB=required` makes that a failure.

use crate::{properties::properties, skip::skipped};
use machine::transport::ssh_config::{
    Ask, Settings, Tokens,
    files::{self, Source},
};
use proptest::prelude::*;
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
};

#[expect(clippy::disallowed_methods, reason = "OpenSSH is the judge")]
fn ssh() -> Command {
    Command::new("ssh")
}

#[expect(clippy::disallowed_methods, reason = "a fixture's files need not survive a crash")]
fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

fn installed() -> bool {
    let found = ssh().arg("-V").stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !found {
        skipped("`ssh` is not installed");
    }
    found
}

/// The keywords both know, with their values as `ssh -G` prints them.
type Answer = BTreeMap<&'static str, Vec<String>>;

/// What OpenSSH would do; `None`: it refuses the file.
fn theirs(file: &Path, alias: &str, user: Option<&str>) -> Option<Answer> {
    let mut command = ssh();
    command.arg("-G").arg("-F").arg(file);
    if let Some(user) = user {
        command.args(["-l", user]);
    }
    let output = command.arg("--").arg(alias).output().unwrap();
    if !output.status.success() {
        return None;
    }
    let mut answer = Answer::new();
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        let known = [
            "hostname",
            "port",
            "user",
            "identityfile",
            "identitiesonly",
            "identityagent",
            "proxyjump",
            "proxycommand",
            "connecttimeout",
            "serveraliveinterval",
        ];
        if let Some(key) = known.into_iter().find(|k| *k == key) {
            let value = match (key, value) {
                // Both mean that there is no limit.
                ("connecttimeout", "0") => "none",
                (_, value) => value,
            };
            answer.entry(key).or_default().push(value.to_owned());
        }
    }
    Some(answer)
}

/// Who runs the tests.
fn me() -> String {
    #[expect(clippy::disallowed_methods, reason = "only the system knows")]
    let id = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(id.stdout).unwrap().trim().to_owned()
}

fn ours(file: &Path, alias: &str, user: Option<&str>) -> Result<Answer, String> {
    let rules = files::read(&Source::File(file.to_path_buf()), None).map_err(|e| e.to_string())?;
    let ask = Ask { alias: alias.into(), user: user.map(str::to_owned), local_user: me(), ..Ask::default() };
    let found = rules.settings(&ask).map_err(|e| e.to_string())?;
    let (jumps, command) = (found.jumps().map(str::to_owned), found.command().map(str::to_owned));
    let Settings { host_name, port, user, identity_files, identity_agent, .. } = found;
    let mut answer = Answer::new();
    // Of names, not of addresses, OpenSSH makes small letters.
    answer.insert("hostname", vec![host_name.unwrap_or_else(|| alias.to_owned()).to_ascii_lowercase()]);
    answer.insert("port", vec![port.unwrap_or(22).to_string()]);
    answer.insert("user", vec![user.unwrap_or_else(me)]);
    if !identity_files.is_empty() {
        answer.insert("identityfile", identity_files);
    }
    answer.insert("identitiesonly", vec![if found.identities_only { "yes" } else { "no" }.to_owned()]);
    let tokens = Tokens { home: std::env::var("HOME").unwrap_or_default(), ..Tokens::default() };
    answer.extend(identity_agent.map(|agent| ("identityagent", vec![tokens.path(&agent).unwrap()])));
    answer.extend(jumps.map(|jump| ("proxyjump", vec![jump])));
    answer.extend(command.map(|command| ("proxycommand", vec![command])));
    let timeout = found.connect_timeout.filter(|limit| !limit.is_zero());
    answer.insert("connecttimeout", vec![timeout.map_or("none".to_owned(), |limit| limit.as_secs().to_string())]);
    let interval = found.alive_interval.map_or(0, |every| every.as_secs());
    answer.insert("serveraliveinterval", vec![interval.to_string()]);
    Ok(answer)
}

/// Compares the answers about `alias`; whether there was one.
fn same(text: &str, alias: &str, user: Option<&str>) -> Result<bool, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    for (name, text) in INCLUDED {
        write(&dir.path().join(name), text);
    }
    let text = text.replace("{dir}", dir.path().to_str().unwrap());
    write(&file, &text);
    let Some(mut theirs) = theirs(&file, alias, user) else {
        return Ok(false);
    };
    let ours = ours(&file, alias, user).map_err(|e| format!("{alias}: we refuse what ssh takes: {e}\n{text}"))?;
    if !ours.contains_key("identityfile") {
        // The usual ones, which both have.
        theirs.remove("identityfile");
    }
    if ours == theirs { Ok(true) } else { Err(format!("{alias}:\nours   {ours:?}\ntheirs {theirs:?}\n{text}")) }
}

const INCLUDED: [(&str, &str); 3] = [
    ("part-1.conf", "Port 4001\nHost web*\n  User included\n"),
    ("part-2.conf", "ConnectTimeout 41\nMatch host *.example.org\n  IdentityFile /included\n"),
    ("nested.conf", "Include {dir}/part-*.conf\nHost *\n  ServerAliveInterval 40\n"),
];

/// As people write them.
const CORPUS: &[&str] = &[
    "",
    "Host web\n  HostName 10.0.0.7\n  User deploy\n  Port 2222\n  IdentityFile ~/.ssh/deploy\n",
    "host=web\nhostname = 10.0.0.7\nUSER=\"deploy er\"\n",
    "Host web-? !web-3\n HostName %h.example.org\nHost *\n Port 7\n",
    "Host !web-3 web*\n Port 5\nHost !*\n Port 6\n",
    "Host \"web-1\" 'web-2'\n Port 5 # the port\nIdentityFile /a\nIdentityFile \"/b c\"\nIdentityFile /a\n",
    "Host web-1\n ProxyJump gate\nHost gate\n ProxyCommand none\n",
    "ProxyJump user@gate:2200\n",
    "ProxyJump one,two:23,me@three\n",
    "ProxyJump none\nProxyCommand nc %h %p # not a comment\n",
    "ProxyCommand nc \"%h\" %p\nProxyJump gate\n",
    "ProxyCommand none\nProxyJump gate\n",
    "Match host web-1\n Port 11\nMatch all\n Port 12\n",
    "HostName other\nMatch host other\n Port 13\nMatch originalhost web-1\n User original\n",
    "Match user root\n Port 14\nMatch localuser nobody\n Port 15\nMatch !localuser nobody\n Port 16\n",
    "Match host web-*,!web-3 user *\n Port 17\n",
    "Match !host web-1\n Port 18\n",
    "Host web-1\n HostName 10.1.1.1\nMatch final host 10.1.1.1\n Port 19\nMatch final all\n User last\n",
    "Match canonical all\n Port 20\nMatch !final all\n Port 21\n",
    "Include {dir}/part-1.conf\nPort 1\n",
    "Host web-1\n Include {dir}/part-*.conf\n User inside\nHost *\n Port 2\n",
    "Host none\n Include {dir}/part-*.conf\nHost *\n Port 2\n",
    "Match host web-2\n Include {dir}/part-2.conf {dir}/part-1.conf\nUser u\n",
    "Include {dir}/nothing-here-*.conf {dir}/missing.conf\nPort 3\n",
    "IdentitiesOnly yes\nIdentityAgent none\n",
    "IdentitiesOnly true\nIdentityAgent ~/agent.sock\n",
    "IdentityAgent SSH_AUTH_SOCK\nIdentityFile none\n",
    "IdentityAgent $OTHER_SOCK\nIdentitiesOnly no\nIdentitiesOnly yes\n",
    "ConnectTimeout 1m30s\nServerAliveInterval 2M\nServerAliveCountMax 5\n",
    "ConnectTimeout none\nServerAliveInterval 0\n",
    "ConnectTimeout 1h5\n",
    "ForwardAgent yes\nCompression yes\nSendEnv LANG\nLocalForward 8080 localhost:80\n",
    "\tHost\tweb-1\r\n\tPort\t9\r\n# comment\n\n  # another\nUser x\r\n",
    "Host WEB-1\n Port 30\nHost web-1\n HostName Www.Example.ORG\n",
    "User a\\ b\n",
    "User \"a\\\"b\"\n",
    "IdentityFile \"/with # no comment\" # comment\nIdentityFile /with#hash\n",
    "Host web-1 web-1 web-2\nPort 31\nHost 10.0.*\nPort 32\nHost *\nPort 33\n",
    "Match host WEB-1\n Port 34\n",
    "Match host web-1 host *-1\n Port 35\nMatch host=web-2\n Port 36\n",
    "HostName %h.%h\n",
    "HostName a\nHostName b\nPort 1\nPort 2\n",
];

#[test]
fn handwritten_files_are_read_as_openssh_reads_them() {
    if !installed() {
        return;
    }
    let (mut wrong, mut agreed) = (Vec::new(), 0);
    for text in CORPUS {
        for alias in ["web", "web-1", "web-2", "web-3", "Web-1", "10.0.0.7", "gate"] {
            for user in [None, Some("root")] {
                match same(text, alias, user) {
                    Ok(told) => agreed += usize::from(told),
                    Err(why) => wrong.push(why),
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    println!("{agreed} answers are the same");
    assert!(agreed > CORPUS.len() * 12, "{agreed} answers: ssh takes nearly all of the corpus");
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["web", "web-1", "web-2", "db", "gate", "*", "web*", "*-1", "?eb", "!web-2", "!*", "a b"])
        .prop_map(str::to_owned)
}

fn line() -> impl Strategy<Value = String> {
    let names = || prop::collection::vec(name(), 1..4);
    let word = |words: &[&'static str]| prop::sample::select(words.to_vec());
    prop_oneof![
        3 => names().prop_map(|names| format!("Host {}", names.join(" "))),
        1 => names().prop_map(|names| format!("Match host {}", names.join(",").replace(' ', ""))),
        1 => names().prop_map(|names| format!("Match !originalhost {}", names.join(",").replace(' ', ""))),
        1 => word(&["all", "user root", "user !root,*", "localuser *", "final host h*", "final all", "!final all"])
            .prop_map(|words| format!("Match {words}")),
        1 => word(&["part-1.conf", "part-2.conf", "part-*.conf", "part-?.conf"]).prop_map(|f| format!("Include {{dir}}/{f}")),
        2 => word(&["10.0.0.1", "%h.example.org", "host", "\"%h\""]).prop_map(|v| format!("HostName {v}")),
        2 => (1_u16..).prop_map(|port| format!("  Port={port}")),
        2 => word(&["root", "me", "\"two words\""]).prop_map(|v| format!("\tUser\t{v} ")),
        2 => word(&["/a", "~/.ssh/b", "none", "%d/%r", "\"/c d\" # e"]).prop_map(|v| format!("IdentityFile {v}")),
        1 => word(&["yes", "no", "true"]).prop_map(|v| format!("IdentitiesOnly {v}")),
        1 => word(&["none", "SSH_AUTH_SOCK", "/run/agent"]).prop_map(|v| format!("IdentityAgent {v}")),
        1 => word(&["none", "gate", "me@gate:23", "one,two", "[::1]:24"]).prop_map(|v| format!("ProxyJump {v}")),
        1 => word(&["none", "nc %h %p", "sh -c 'a # b'"]).prop_map(|v| format!("ProxyCommand {v}")),
        1 => word(&["5", "2m", "1h1m1s", "none", "0"]).prop_map(|v| format!("ConnectTimeout {v}")),
        1 => word(&["15", "1m", "0"]).prop_map(|v| format!("ServerAliveInterval {v}")),
        1 => word(&["# comment", "", "Compression yes", "  LogLevel ERROR"]).prop_map(str::to_owned),
    ]
}

proptest! {
    #![proptest_config(properties(200))]

    #[test]
    fn any_file_is_read_as_openssh_reads_it(
        lines in prop::collection::vec(line(), 0..14),
        alias in prop::sample::select(vec!["web", "web-1", "web-2", "db"]),
        user in prop::option::of(Just("root")),
    ) {
        if !installed() {
            return Ok(());
        }
        let answered = same(&(lines.join("\n") + "\n"), alias, user);
        prop_assert!(answered.is_ok(), "{}", answered.unwrap_err());
    }

    /// Whatever a file holds, it is read or refused, soon.
    #[test]
    fn hostile_files_end_in_an_answer(text in "(?s)(Host|Match|Include|User|Port|IdentityFile|[*?!%$\\{\\}~\"'\\\\= \n\t#]|.){0,200}") {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("config");
        write(&file, &text.replace("Include", "include "));
        if let Ok(rules) = files::read(&Source::File(file), Some(dir.path())) {
            let _ = rules.settings(&Ask { alias: "web".into(), ..Ask::default() });
        }
    }
}

/// Files that include themselves or each other, and links that lead nowhere.
#[test]
fn files_that_never_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("config");
    let read = |text: &str| {
        write(&file, &text.replace("{dir}", dir.path().to_str().unwrap()));
        files::read(&Source::File(file.clone()), Some(dir.path())).map_err(|e| e.to_string())
    };
    let error = read("Port 1\nInclude {dir}/config\n").unwrap_err();
    assert!(error.ends_with("config line 2: files include each other more than 16 deep"), "{error}");
    let error = read("Include {dir}/con*\nInclude {dir}/config {dir}/config\n").unwrap_err();
    assert!(error.contains(" deep") || error.contains("files are included"), "{error}");
    assert!(read("Include {dir}/missing ~/none/*/x\n").is_ok());
    std::os::unix::fs::symlink(dir.path().join("loop"), dir.path().join("loop")).unwrap();
    assert!(read("Include {dir}/loop\n").is_err());
    assert!(read("Include {dir}\n").unwrap_err().ends_with("it is a directory"));
    write(&dir.path().join("large"), &"#".repeat(2 << 20));
    assert!(read("Include {dir}/large\n").unwrap_err().ends_with("it is too large to be an ssh_config"));
    assert!(files::read(&Source::File(dir.path().join("missing")), None).is_err(), "what was named must be there");
}
