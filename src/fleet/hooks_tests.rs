use crate::{
    fleet::{Fleet, Inputs, load},
    hook::{Command, On, Point},
    name::MachineName,
};

fn fleet(text: &str) -> Fleet {
    load("fleet.yaml", text, &Inputs::default(), &crate::driver::Drivers::built_in())
        .unwrap_or_else(|e| panic!("{e}: {e:?}"))
}

fn problems(hooks: &str) -> Vec<String> {
    let text = format!("fleet: f\nhosts:\n  a:\n    driver: nspawn\n    hooks: {hooks}\n");
    match load("fleet.yaml", &text, &Inputs::default(), &crate::driver::Drivers::built_in()) {
        Ok(_) => Vec::new(),
        Err(e) => e.problems().iter().map(ToString::to_string).collect(),
    }
}

#[test]
fn a_list_of_a_host_replaces_that_of_the_defaults_at_its_point_only() {
    let fleet = fleet(
        "fleet: f\ndefaults:\n  driver: nspawn\n  hooks:\n    pre-create: [{ run: all }]\n    post-create: [{ name: a, run: a }, { run: [b, 2] }]\n\
         hosts:\n  one: {}\n  two: { hooks: { post-create: [{ name: c, run: c, on: host, timeout: 2m }] } }\n  none: { hooks: { pre-create: [], post-create: [] } }\n",
    );
    let at = |host: &str, point| {
        let hooks = &fleet.hosts[&MachineName::new(host).unwrap()].hooks;
        hooks.at(point).map(|(_, hook)| hook.to_string()).collect::<Vec<_>>()
    };
    let (pre, post) = (Point::PreCreate, Point::PostCreate);
    assert_eq!(at("one", pre), ["1: all (on this computer, at most 5 min)"]);
    assert_eq!(at("one", post), ["a: a (on this computer, at most 5 min)", "2: b 2 (on this computer, at most 5 min)"]);
    assert_eq!(at("two", pre), at("one", pre));
    assert_eq!(at("two", post), ["c: c (on the host, at most 2 min)"]);
    assert!(fleet.hosts[&MachineName::new("none").unwrap()].hooks.is_empty());
}

/// What stands in a file is not what a shell is given: no value becomes a part of a command.
#[test]
fn nothing_is_put_into_a_command() {
    let fleet = fleet(
        "fleet: f\nvars: { limit: 7 }\ndefaults: { driver: nspawn }\n\
         hosts: { a: { hooks: { pre-rm: [{ run: 'echo ${HOME} $${x} ${MACHINE_NAME:-none}', timeout: '${var.limit}s' }] } } }\n",
    );
    let hook = &fleet.hosts[&MachineName::new("a").unwrap()].hooks.0[&Point::PreRm][0];
    assert_eq!(hook.run, Command::Shell("echo ${HOME} $${x} ${MACHINE_NAME:-none}".to_owned()));
    assert_eq!((hook.timeout, hook.on), (7, On::Local), "elsewhere variables are variables");
    for run in ["'x ${var.limit}'", "[x, '${env.TOKEN}']"] {
        let said = problems(&format!("{{ pre-rm: [{{ run: {run} }}] }}"));
        assert_eq!(said, ["nothing is put into the `run` of a hook"], "{run}");
    }
}

#[test]
fn what_cannot_be_meant_is_said() {
    for (hooks, want) in [
        ("{ pre-rm: [{ name: x }] }", "the hook has no `run`"),
        ("{ pre-rm: [{ run: }] }", "`run` must be a text or a list of words"),
        ("{ pre-rm: [{ run: '  ' }] }", "`run` must be a text or a list of words"),
        ("{ pre-rm: [{ run: [] }] }", "`run` must be a text or a list of words"),
        ("{ pre-rm: [{ run: [''] }] }", "`run` must be a text or a list of words"),
        ("{ pre-rm: [{ run: [a, [b]] }] }", "`run` must be a text or a list of words"),
        ("{ pre-rm: [{ run: { a: b } }] }", "`run` must be a text or a list of words"),
        ("{ pre-rm: [{ run: x, timeout: soon }] }", "`timeout` must be a time"),
        ("{ pre-rm: [{ run: x, timeout: 0 }] }", "`timeout` must be a time"),
        ("{ pre-rm: [{ run: x, on: moon }] }", "`on` must be `local` or `host`"),
        ("{ pre-rm: [{ run: x, name: 'a b' }] }", "`a b` cannot be the name of a hook"),
        ("{ pre-rm: [{ run: x, name: 2 }, { run: y }] }", "two hooks of `pre-rm` are called `2`"),
        ("{ pre-create: [{ run: x, on: host }] }", "a hook of `pre-create` cannot run on the host"),
        ("{ post-rm: [{ run: x, on: host }] }", "a hook of `post-rm` cannot run on the host"),
        ("{ pre-rm: [{ run: x, when: now }] }", "unknown key `when`"),
        ("{ before-rm: [{ run: x }] }", "unknown key `before-rm`"),
        ("{ pre-rm: x }", "`pre-rm` must be a list"),
    ] {
        assert_eq!(problems(hooks), [want], "{hooks}");
    }
}

#[test]
fn where_nobody_can_log_in_no_hook_runs_on_the_host() {
    let text = "fleet: f\ndefaults: { hooks: { post-create: [{ run: x, on: host }] } }\nhosts:\n  a: { driver: none, url: 'tcp://192.0.2.1:2376' }\n";
    let error = load("fleet.yaml", text, &Inputs::default(), &crate::driver::Drivers::built_in()).unwrap_err();
    assert_eq!(error.problems()[0].to_string(), "a hook of `post-create` cannot run on the host");
}
