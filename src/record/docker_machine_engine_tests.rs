use super::*;
use crate::properties::properties;
use proptest::prelude::*;
use serde_json::json;

fn texts(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

fn object(value: Value) -> Object {
    let Value::Object(map) = value else { panic!("{value}") };
    map
}

#[test]
fn every_option_has_its_place_in_a_spec() {
    let options = EngineOptions {
        flags: texts(&[
            "log-driver=none",
            "log-opt max-size=1m",
            "dns=8.8.8.8",
            "dns 1.1.1.1",
            "mtu=1400",
            "label x=y",
        ]),
        env: texts(&["FOO=bar", "HTTP_PROXY=http://u:p@x:1", "EMPTY="]),
        insecure: texts(&["r1:5000"]),
        mirrors: texts(&["http://m2", "http://m1"]),
        labels: texts(&["a=b", "c=d=e"]),
        storage: "btrfs".to_owned(),
        install_url: String::new(),
    };
    let spec = options.to_spec(12376, Some("generic")).unwrap();
    assert_eq!((spec.port, spec.source, &spec.install_url), (12376, Source::Distro, &None));
    assert_eq!(json!(spec.labels), json!({"a": "b", "c": "d=e", "provider": "generic", "x": "y"}));
    assert_eq!(json!(spec.env), json!({"EMPTY": "", "FOO": "bar", "HTTP_PROXY": "http://u:p@x:1"}));
    assert_eq!((&spec.insecure_registries, &spec.registry_mirrors), (&options.insecure, &options.mirrors));
    assert_eq!(
        Value::Object(spec.daemon.clone()),
        json!({"log-driver": "none", "log-opts": {"max-size": "1m"}, "dns": ["8.8.8.8", "1.1.1.1"], "mtu": 1400,
               "storage-driver": "btrfs"})
    );
    let back = EngineOptions::from_spec(&spec, &["generic"]);
    assert_eq!(back.to_spec(12376, Some("generic")), Ok(spec));
    assert_eq!(back.labels, ["a=b", "c=d=e", "x=y"], "docker-machine adds its own");
    assert_eq!(back.flags, ["log-driver=none", "log-opt=max-size=1m", "dns=8.8.8.8", "dns=1.1.1.1", "mtu=1400"]);
}

#[test]
fn an_engine_comes_from_where_the_url_says() {
    for (url, source, script) in [
        ("", Source::Distro, None),
        ("https://get.docker.com", Source::Distro, None),
        ("https://get.docker.com/", Source::Distro, None),
        ("none", Source::Present, None),
        ("None", Source::Present, None),
        ("http://mirror/install.sh", Source::Script, Some("http://mirror/install.sh")),
    ] {
        let options = EngineOptions { install_url: url.to_owned(), ..EngineOptions::default() };
        let spec = options.to_spec(2376, None).unwrap();
        assert_eq!((spec.source, spec.install_url.as_deref()), (source, script), "{url}");
    }
}

#[test]
fn all_that_cannot_be_is_told_and_a_machine_that_is_there_is_read_without_it() {
    let options = EngineOptions {
        flags: texts(&["mtu=abc", "host=tcp://0.0.0.0:2375", "bip=10.0.0.1/24", ""]),
        env: texts(&["FOO", "A-B=c", "SECRET\u{7}=x"]),
        labels: texts(&["bare", "=x"]),
        install_url: "ftp://u:s3cret@x".to_owned(),
        ..EngineOptions::default()
    };
    assert_eq!(
        options.to_spec(2376, None).unwrap_err(),
        [
            "`--engine-install-url ftp://u:***@x`: this is not a URL of http or https",
            "`--engine-label bare`: a label is written `name=value`",
            "`--engine-label =x`: a label is written `name=value`",
            "`--engine-env FOO`: a variable is written `NAME=value`",
            "`--engine-env A-B`: `A-B` cannot be the name of a variable",
            "`--engine-env SECRET\u{7}`: `SECRET\u{7}` cannot be the name of a variable",
            "`--engine-opt mtu=abc`: `mtu` must be a whole number, not `abc`",
            "`--engine-opt host=tcp://0.0.0.0:2375`: `host` follows from how the machine is reached",
            "`--engine-opt `: `--` is no option of dockerd",
        ]
    );
    let found = options.as_found(2376, None);
    assert_eq!(Value::Object(found.daemon), json!({"bip": "10.0.0.1/24"}));
    assert_eq!((found.labels["bare"].as_str(), found.env.len(), found.source), ("", 0, Source::Distro));
}

#[test]
fn what_means_the_same_stays_as_it_is_spelled() {
    let document = object(json!({
        "ArbitraryFlags": ["log-opt max-size=1m", "mtu=oops", "experimental"], "Dns": null, "New": 1.5,
        "Env": ["B=1", "A=1"], "Labels": ["z=1", "bare"], "InstallURL": "", "registrymirror": ["m1", "m2"],
    }));
    let mut same = document.clone();
    let found = EngineOptions::from_document(&document);
    EngineOptions::from_spec(&found.as_found(2376, None), &[]).write(&mut same);
    assert_eq!(serde_json::to_string(&same).unwrap(), serde_json::to_string(&document).unwrap());

    let mut spec = found.as_found(2376, None);
    spec.daemon.shift_remove("experimental");
    spec.daemon.insert("bip".to_owned(), json!("10.0.0.1/24"));
    spec.labels.insert("a".to_owned(), "2".to_owned());
    spec.registry_mirrors.reverse();
    (spec.source, spec.install_url) = (Source::Present, None);
    let mut changed = document;
    EngineOptions::from_spec(&spec, &[]).write(&mut changed);
    assert_eq!(
        Value::Object(changed),
        json!({
            "ArbitraryFlags": ["log-opt max-size=1m", "mtu=oops", "bip=10.0.0.1/24"], "Dns": null, "New": 1.5,
            "Env": ["B=1", "A=1"], "Labels": ["z=1", "bare", "a=2"], "InstallURL": "none",
            "registrymirror": ["m2", "m1"],
        })
    );
}

fn options() -> impl Strategy<Value = EngineOptions> {
    let flag = prop_oneof![
        "(log-driver|bip|new)[= ][a-z0-9./]{1,6}",
        "(log-opt|cluster-store-opt)[= ][a-c]=[a-z]{0,3}",
        "(dns|storage-opt|exec-opt)=[a-z0-9.=]{1,6}",
        "mtu=[0-9]{1,4}",
        "(icc|live-restore)(|=true|=false|=0)",
        "(label|insecure-registry|registry-mirror)=[a-c]=?",
        "\\PC{0,8}",
    ];
    let list = |entry: &'static str| proptest::collection::vec(entry, 0..4);
    let url = prop::sample::select(vec!["", DEFAULT_INSTALL_URL, "NONE", "none", "http://x/y", "ftp://x"]);
    (
        proptest::collection::vec(flag, 0..5),
        (list("[A-C]=[ -~]{0,5}"), list("[a-c](:1)?"), list("http://[a-c]"), list("[a-c]?=?[a-z]{0,2}")),
        ("(|btrfs|overlay2)", url),
    )
        .prop_map(|(flags, (env, insecure, mirrors, labels), (storage, url))| EngineOptions {
            flags,
            env,
            insecure,
            mirrors,
            labels,
            storage,
            install_url: url.to_owned(),
        })
}

proptest! {
    #![proptest_config(properties(512))]

    /// The law: what options say of an engine, they say again after they went through a spec.
    #[test]
    fn options_mean_the_same_after_a_spec(options in options()) {
        let spec = options.as_found(2376, None);
        let back = EngineOptions::from_spec(&spec, &[]);
        prop_assert_eq!(&back.as_found(2376, None), &spec);
        prop_assert_eq!(back.to_spec(2376, None), Ok(spec));
    }

    /// Whatever a document says, it says what is written to it, and nothing else of it changes.
    #[test]
    fn a_document_says_what_is_written(before in options(), after in options(), unknown in "[G-Z]{1,4}") {
        let mut document = Object::new();
        document.insert(unknown.clone(), json!({"a": [1.5, null]}));
        before.write(&mut document);
        prop_assert_eq!(EngineOptions::from_document(&document).as_found(1, None), before.as_found(1, None));
        let wanted = EngineOptions::from_spec(&after.as_found(1, None), &[]);
        wanted.write(&mut document);
        prop_assert_eq!(EngineOptions::from_document(&document).as_found(1, None), wanted.as_found(1, None));
        prop_assert_eq!(&document[&unknown], &json!({"a": [1.5, null]}));
        let text = serde_json::to_string(&document).unwrap();
        wanted.write(&mut document);
        prop_assert_eq!(serde_json::to_string(&document).unwrap(), text);
    }
}
