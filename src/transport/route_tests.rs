//! Routes, as recorded and as looked up.

use super::*;
use crate::{name::MachineName, record::SshEndpoint};

fn target(host: &str, key: Option<&str>, jump: Option<&str>) -> Target {
    Target {
        machine: MachineName::new("m1").unwrap(),
        ssh: SshEndpoint {
            host: host.into(),
            port: 2222,
            user: "root".into(),
            key: key.map(str::to_owned),
            jump: jump.map(str::to_owned),
            passphrase: None,
        },
        host_keys: Vec::new(),
        jump_keys: Vec::new(),
        connect_timeout: Duration::from_secs(10),
        patience: Duration::ZERO,
        lookup: None,
    }
}

fn lookup(alias: &str) -> Lookup {
    Lookup { alias: alias.into(), user: None, port: None, jump: None, source: Source::Usual }
}

fn find(target: &Target, lookup: &Lookup, text: &str) -> Result<Route, SshConfigError> {
    let asker = Asker {
        user: "me".into(),
        home: "/home/me".into(),
        vars: [("SOCK".to_owned(), "/run/sock".to_owned())].into(),
    };
    Route::looked_up(target, lookup, &Rules::parse("config", text).unwrap(), &asker)
}

fn shown(route: &Route) -> String {
    route.stops.iter().map(Stop::to_string).collect::<Vec<_>>().join(" ")
}

const TEAM: &str = "\
Host web
  HostName 10.0.0.7
  Port 2200
  User deploy
  IdentityFile ~/.ssh/%r@%n
  IdentityAgent $SOCK
  ProxyJump inner
Host inner
  HostName 10.0.0.1
  User jumper
  IdentityFile /inner
  IdentitiesOnly yes
  ProxyJump outer:24
Host outer
  HostName gate.example.org
Host loop-*
  ProxyJump loop-%h
Host command
  ProxyCommand nc -x proxy %h %p
";

#[test]
fn a_name_leads_through_all_hosts_its_settings_name() {
    let web = find(&target("web", None, None), &lookup("web"), TEAM).unwrap();
    assert_eq!(shown(&web), "me@gate.example.org:24 jumper@10.0.0.1:22 deploy@10.0.0.7:2200");
    assert_eq!(web.jump().as_deref(), Some("me@gate.example.org:24,jumper@10.0.0.1:22"));
    assert_eq!(web.stops[0].keys, Keys::Usual);
    assert_eq!(web.stops[1].keys, Keys::Listed { files: vec!["/inner".into()], only: true });
    assert_eq!(web.last().keys, Keys::Listed { files: vec!["/home/me/.ssh/deploy@web".into()], only: false });
    assert_eq!(web.last().agent, Agent::At("/run/sock".into()));
}

#[test]
fn what_is_given_counts_and_the_rest_is_looked_up() {
    let given = Lookup { user: Some("root".into()), port: Some(22), jump: Some("outer".into()), ..lookup("web") };
    let web = find(&target("web", Some("/key"), None), &given, TEAM).unwrap();
    assert_eq!(shown(&web), "root@gate.example.org:22 root@10.0.0.7:22");
    assert_eq!(web.last().keys, Keys::Given("/key".into()));
    assert_eq!(web.stops[0].keys, Keys::Listed { files: vec!["/key".into()], only: false });
    let none = Lookup { jump: Some("none".into()), ..lookup("web") };
    assert_eq!(shown(&find(&target("web", None, None), &none, TEAM).unwrap()), "deploy@10.0.0.7:2200");
}

#[test]
fn a_name_that_only_another_computer_knows_leads_where_it_led_there() {
    let recorded = target("10.9.9.9", None, Some("gate:24"));
    assert_eq!(shown(&find(&recorded, &lookup("elsewhere"), TEAM).unwrap()), "me@gate:24 root@10.9.9.9:2222");
    // A name that never stood for another one is the address itself.
    assert_eq!(shown(&find(&target("db", None, None), &lookup("db"), TEAM).unwrap()), "root@db:22");
}

#[test]
fn a_circle_of_jump_hosts_and_nonsense_are_refused() {
    let error = find(&target("loop-1", None, None), &lookup("loop-1"), TEAM).unwrap_err().to_string();
    assert!(error.contains("without an end"), "{error}");
    for text in ["ProxyJump -J", "ProxyJump a b", "ProxyJump h:0", "IdentityFile %q", "ProxyJump a,,b"] {
        assert!(find(&target("x", None, None), &lookup("x"), text).is_err(), "{text}");
    }
    let command = find(&target("command", None, None), &lookup("command"), TEAM).unwrap();
    assert_eq!(command.last().command.as_deref(), Some("nc -x proxy command 22"));
}

#[test]
fn jump_hosts_are_read_with_and_without_user_and_port() {
    for (text, want) in [
        ("u@h:2222", "u@h:2222"),
        ("h", "root@h:22"),
        ("h:24", "root@h:24"),
        ("u@[fe80::1]:24", "u@[fe80::1]:24"),
        ("[::1]", "root@[::1]:22"),
        ("::1", "root@[::1]:22"),
        ("ssh://u@h:23/", "u@h:23"),
        ("a,b:23", "root@a:22 root@b:23"),
    ] {
        let route = Route::recorded(&target("x", None, Some(text))).unwrap();
        assert_eq!(shown(&route), format!("{want} root@x:2222"), "{text}");
    }
    for wrong in ["", "u@", "h:x", "h:0", "@h", "h:99999", "-h", "[h]x", "a,"] {
        assert!(Route::recorded(&target("x", None, Some(wrong))).is_err(), "{wrong}");
    }
}
