//! Answers about hosts, by rules as people write them.

use super::*;

fn ask(alias: &str) -> Ask {
    Ask { alias: alias.into(), local_user: "me".into(), home: "/home/me".into(), ..Ask::default() }
}

#[track_caller]
fn settings(text: &str, alias: &str) -> Settings {
    Rules::parse("config", text).unwrap().settings(&ask(alias)).unwrap()
}

const TEAM: &str = "\
User everyone
Host web* !web-3
  HostName %h.example.org
  Port 2222
  IdentityFile ~/.ssh/%r@%h
Host web-1
  Port 22
  IdentityFile /k
  ProxyJump gate
Match host web-2.example.org user everyone
  ConnectTimeout 1m30s
Match user deploy
  ConnectTimeout 7
Host *
  User nobody
  IdentitiesOnly yes
  ServerAliveInterval 5
";

#[test]
fn the_first_value_counts_and_keys_add_up() {
    let web = settings(TEAM, "web-1");
    assert_eq!(
        (web.host_name.as_deref(), web.port, web.user.as_deref()),
        (Some("web-1.example.org"), Some(2222), Some("everyone"))
    );
    assert_eq!(web.identity_files, ["~/.ssh/%r@%h", "/k"]);
    assert!(web.identities_only);
    assert_eq!((web.proxy_jump.as_deref(), web.alive_interval), (Some("gate"), Some(Duration::from_secs(5))));
    assert_eq!(settings(TEAM, "web-3").host_name, None);
}

#[test]
fn match_sees_what_was_found_so_far() {
    assert_eq!(settings(TEAM, "web-2").connect_timeout, Some(Duration::from_secs(90)));
    assert_eq!(settings(TEAM, "web-1").connect_timeout, None);
    let given = Ask { user: Some("deploy".into()), port: Some(9), ..ask("web-1") };
    let web = Rules::parse("config", TEAM).unwrap().settings(&given).unwrap();
    assert_eq!((web.port, web.user.as_deref()), (Some(9), Some("deploy")), "what is given elsewhere comes first");
    assert_eq!(web.connect_timeout, Some(Duration::from_secs(7)));
}

#[test]
fn what_cannot_be_looked_at_is_said_once_and_does_not_match() {
    let text = "Match exec \"test -e /x\"\n  Port 1\nMatch host other exec y\n  Port 2\nMatch final all\n  Port 3\n";
    let found = settings(text, "web");
    assert_eq!(found.port, Some(3));
    assert_eq!(found.warnings, ["config line 1: `Match exec` is not looked at; its block counts as not matching"]);
}

#[test]
fn a_wrong_line_matters_to_its_own_hosts_only() {
    let rules = Rules::parse("config", "Host a\n  Port x\nHost b\n  Port 7\n").unwrap();
    assert_eq!(rules.settings(&ask("b")).unwrap().port, Some(7));
    assert_eq!(rules.settings(&ask("a")).unwrap_err().to_string(), "config line 2: `x` is not a port");
    for (line, why) in [
        ("ConnectTimeout soon", "`soon` is not a time"),
        ("ConnectTimeout 99999999999999999999w", "is not a time"),
        ("IdentitiesOnly maybe", "`maybe` is neither yes nor no"),
        ("Port 0", "`0` is not a port"),
        ("Match host", "`host` of `Match` has no value"),
        ("Host", "`host` has no value"),
    ] {
        let error = Rules::parse("config", line).unwrap().settings(&ask("a")).unwrap_err().to_string();
        assert!(error.starts_with("config line 1: ") && error.contains(why), "{error}");
    }
}

#[test]
fn a_file_that_follows_is_not_part_of_the_last_block() {
    let own = Rules::parse("own", "Host a\n  Port 1\n").unwrap();
    let system = Rules::parse("system", "User root\nPort 2\n").unwrap();
    let both = own.then(system);
    let (a, b) = (both.settings(&ask("a")).unwrap(), both.settings(&ask("b")).unwrap());
    assert_eq!((a.port, a.user.as_deref()), (Some(1), Some("root")));
    assert_eq!((b.port, b.user.as_deref()), (Some(2), Some("root")));
}
