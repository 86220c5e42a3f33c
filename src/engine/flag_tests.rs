use super::*;
use crate::properties::properties;
use proptest::prelude::*;

#[test]
fn flags_are_read_in_every_spelling() {
    let line = "/usr/bin/dockerd -H tcp://0.0.0.0:2376 -Hunix:///x --host=fd:// --tlsverify --label a=b --bip=10.0.0.1/24 --log-opt \"tag=a b\" -s btrfs $DOCKER_OPTS";
    let found: Vec<(String, String)> = Flag::of(line).into_iter().map(|f| (f.name, f.value)).collect();
    let want = [
        ("host", "tcp://0.0.0.0:2376"),
        ("host", "unix:///x"),
        ("host", "fd://"),
        ("tlsverify", ""),
        ("label", "a=b"),
        ("bip", "10.0.0.1/24"),
        ("log-opt", "tag=a b"),
        ("storage-driver", "btrfs"),
    ];
    assert_eq!(found, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
}

#[test]
fn quotes_are_not_part_of_a_value_and_stay_where_it_is_written() {
    let flags = Flag::of(r#"dockerd --log-opt "tag={{.Name}} \"x\"" --label='a=b c' --x="""#);
    let read: Vec<(&str, &str)> = flags.iter().map(|f| (f.value.as_str(), f.written.as_str())).collect();
    assert_eq!(
        read,
        [
            (r#"tag={{.Name}} "x""#, r#"--log-opt "tag={{.Name}} \"x\"""#),
            ("a=b c", "--label='a=b c'"),
            ("", r#"--x="""#)
        ]
    );
}

fn keys(options: &str) -> Result<Value, String> {
    let mut keys = Map::new();
    Flag::of(&format!("dockerd {options}")).iter().try_for_each(|flag| flag.set(&mut keys))?;
    Ok(Value::Object(keys))
}

#[test]
fn flags_become_keys_of_their_type() {
    for (options, want) in [
        ("--log-driver=none --bip=10.0.0.1/24", json!({"log-driver": "none", "bip": "10.0.0.1/24"})),
        ("--log-opt max-size=1m --log-opt=max-file=3", json!({"log-opts": {"max-size": "1m", "max-file": "3"}})),
        ("--log-opt=labels", json!({"log-opts": {"labels": ""}})),
        ("--dns=8.8.8.8 --dns 1.1.1.1", json!({"dns": ["8.8.8.8", "1.1.1.1"]})),
        ("--storage-opt dm.basesize=20G", json!({"storage-opts": ["dm.basesize=20G"]})),
        ("--exec-opt native.cgroupdriver=systemd", json!({"exec-opts": ["native.cgroupdriver=systemd"]})),
        ("--mtu=1400 --oom-score-adjust=-5", json!({"mtu": 1400, "oom-score-adjust": -5})),
        (
            "--experimental --live-restore=false --icc=0",
            json!({"experimental": true, "live-restore": false, "icc": false}),
        ),
        (
            "--default-ulimit nofile=64:128 --default-ulimit=nproc=5",
            json!({"default-ulimits": {"nofile": {"Name": "nofile", "Hard": 128, "Soft": 64},
                                       "nproc": {"Name": "nproc", "Hard": 5, "Soft": 5}}}),
        ),
        (
            "--default-address-pool base=172.30.0.0/16,size=24",
            json!({"default-address-pools": [{"base": "172.30.0.0/16", "size": 24}]}),
        ),
        ("--add-runtime kata=/usr/bin/kata", json!({"runtimes": {"kata": {"path": "/usr/bin/kata"}}})),
        ("--feature containerd-snapshotter=true", json!({"features": {"containerd-snapshotter": true}})),
        ("--default-network-opt=bridge=a.b=1", json!({"default-network-opts": {"bridge": {"a.b": "1"}}})),
        ("--https-proxy http://p:1 --no-proxy=x", json!({"proxies": {"https-proxy": "http://p:1", "no-proxy": "x"}})),
        ("-g /data --graph=/other", json!({"data-root": "/other"})),
        ("--group=", json!({"group": ""})),
        ("--brand-new --other=5 --third=false", json!({"brand-new": true, "other": "5", "third": false})),
    ] {
        assert_eq!(keys(options), Ok(want), "{options}");
    }
}

#[test]
fn values_that_cannot_be_are_refused() {
    for (options, why) in [
        ("--mtu=abc", "`mtu` must be a whole number, not `abc`"),
        ("--icc=maybe", "`icc` must be true or false, not `maybe`"),
        ("--dns", "`dns` needs a value"),
        ("--mtu", "`mtu` needs a value"),
        ("--default-ulimit=nofile", "`default-ulimit` must be written like `nofile=1024:2048`, not `nofile`"),
        (
            "--default-address-pool=x",
            "`default-address-pool` must be written like `base=172.30.0.0/16,size=24`, not `x`",
        ),
        ("--feature=x=y", "`feature` must be a name with `=true` or `=false`, not `x=y`"),
        ("--=x", "`--=x` is no option of dockerd"),
    ] {
        assert_eq!(keys(options), Err(why.to_owned()));
    }
}

#[test]
fn the_table_is_sorted_and_its_keys_have_one_kind() {
    assert!(FLAGS.is_sorted_by_key(|(flag, ..)| flag));
    for (flag, key, kind) in FLAGS {
        assert!(FLAGS.iter().all(|(_, k, other)| k != key || other == kind), "{flag}");
    }
}

fn flag() -> impl Strategy<Value = String> {
    let text = "[ -~é]{0,8}";
    prop_oneof![
        ("(log-driver|bip|group|brand-new)", text).prop_map(|(n, v)| (n, v)),
        ("(dns|storage-opt|exec-opt|dns-search|http-proxy|no-proxy|graph)", text).prop_map(|(n, v)| (n, v)),
        ("log-opt|cluster-store-opt|add-runtime", ("[a-z]{1,4}", text)).prop_map(|(n, (k, v))| (n, format!("{k}={v}"))),
        ("mtu|shutdown-timeout", "-?[0-9]{1,4}").prop_map(|(n, v)| (n, v)),
        ("icc|live-restore|experimental", "(true|false|1|F)").prop_map(|(n, v)| (n, v)),
        Just(("default-ulimit".to_owned(), "nofile=5:6".to_owned())),
        Just(("default-address-pool".to_owned(), "size=24,base=10.0.0.0/8".to_owned())),
        Just(("default-network-opt".to_owned(), "bridge=a=b c".to_owned())),
        Just(("feature".to_owned(), "x=false".to_owned())),
    ]
    .prop_filter_map("control characters", |(name, value)| argument(&name, &value))
}

proptest! {
    #![proptest_config(properties(256))]

    /// The law: what flags say, their keys say again in flags.
    #[test]
    fn flags_say_what_keys_say(flags in proptest::collection::vec(flag(), 0..6)) {
        let line = |flags: &[String]| flags.iter().map(|f| format!("--{f}")).collect::<Vec<_>>().join(" ");
        let first = keys(&line(&flags)).unwrap();
        let back: Vec<String> = first.as_object().unwrap().iter().flat_map(|(k, v)| of_key(k, v).unwrap()).collect();
        prop_assert_eq!(keys(&line(&back)).unwrap(), first);
    }

    #[test]
    fn any_line_can_be_read(line in "\\PC{0,40}") {
        for flag in Flag::of(&line) {
            let _ = flag.set(&mut Map::new());
        }
    }
}
