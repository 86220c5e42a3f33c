use super::super::fixtures::{self, facts, want};
use super::*;

const OVERRIDE: &str = "/etc/systemd/system/docker.service.d/override.conf";
const VENDOR: &str = "/usr/sbin/dockerd -H fd:// --containerd=/run/containerd/containerd.sock $DOCKER_OPTS";

fn with(drop_in: &str, daemon_json: Option<&str>) -> Facts {
    let mut facts = facts("debian-12-docker-io");
    facts.drop_ins.insert(OVERRIDE.to_owned(), drop_in.to_owned());
    facts.daemon_json = daemon_json.map(str::to_owned);
    facts
}

fn hosts(config: &Config) -> Option<Value> {
    daemon_json::read(Some(&config.daemon_json.text)).unwrap().get("hosts").cloned()
}

#[test]
fn the_vendors_line_gets_one_listener_more() {
    let config = config(&facts("debian-12-docker-io"), &want(), "").unwrap();
    let text = format!("[Service]\nExecStart=\nExecStart={VENDOR} -H tcp://0.0.0.0:2376\n");
    assert_eq!((config.drop_in.as_ref(), hosts(&config)), (Some(&text), None));
}

#[test]
fn a_vendor_without_a_listener_keeps_its_socket() {
    let mut facts = facts("debian-12-docker-io");
    facts.vendor_exec_start = Some("/usr/bin/dockerd".to_owned());
    let drop_in = config(&facts, &want(), "").unwrap().drop_in.unwrap();
    assert!(drop_in.ends_with("\nExecStart=/usr/bin/dockerd -H unix:///var/run/docker.sock -H tcp://0.0.0.0:2376\n"));
}

#[test]
fn hosts_of_the_user_take_ours_in() {
    let facts = with("[Service]\nExecStart=\nExecStart=/usr/bin/dockerd\n", Some(r#"{"hosts": ["fd://"]}"#));
    let config = config(&facts, &want(), "").unwrap();
    assert_eq!((hosts(&config), &config.drop_in), (Some(json!(["fd://", "tcp://0.0.0.0:2376"])), &None));
}

#[test]
fn an_override_that_takes_the_flags_away_leads_to_hosts() {
    let facts = with("[Service]\nExecStart=\nExecStart=/usr/bin/dockerd\n", None);
    let config = config(&facts, &want(), "").unwrap();
    let both = json!(["unix:///var/run/docker.sock", "tcp://0.0.0.0:2376"]);
    assert_eq!((hosts(&config), &config.drop_in), (Some(both), &None));
}

#[test]
fn hosts_beside_flags_of_the_vendor_lose_the_flags() {
    let mut facts = facts("debian-12-blank");
    facts.daemon_json = Some(r#"{"hosts": ["fd://"]}"#.to_owned());
    let config = config(&facts, &want(), VENDOR).unwrap();
    let line = "/usr/sbin/dockerd --containerd=/run/containerd/containerd.sock $DOCKER_OPTS";
    assert_eq!(config.drop_in.unwrap(), format!("[Service]\nExecStart=\nExecStart={line}\n"));
}

#[test]
fn what_cannot_be_had_is_said_with_a_way_out() {
    let refused = |facts: &Facts, want: &EngineSpec| config(facts, want, "").unwrap_err().to_string();
    let flags = with("[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd://\n", None);
    assert_eq!(
        refused(&flags, &want()),
        format!("{OVERRIDE} sets ExecStart with `-H` and has the last word, so no listener can be added")
    );
    let label = with("[Service]\nExecStart=\nExecStart=/usr/bin/dockerd --label a=b\n", None);
    assert_eq!(
        refused(&label, &want()),
        "docker.service is started with `--label`, and dockerd refuses `labels` in /etc/docker/daemon.json as well"
    );
    let mut reserved = want();
    reserved.daemon.insert("hosts".to_owned(), json!([]));
    assert!(refused(&facts("debian-12-blank"), &reserved).starts_with("`daemon` sets `hosts`"));
    let broken = with("", Some("{"));
    assert!(refused(&broken, &want()).starts_with("/etc/docker/daemon.json is not a JSON object"));
}

#[test]
fn somebody_elses_listener_on_the_port_is_enough() {
    let facts = with("[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd:// -H tcp://[::]:2376\n", None);
    let config = config(&facts, &want(), "").unwrap();
    assert_eq!((hosts(&config), config.drop_in), (None, None));
}

/// Pain 18: options of docker-machine's drop-in move or stay, and none is given twice.
#[test]
fn docker_machines_drop_in_is_taken_over() {
    let config = config(&facts("debian-12-docker-machine"), &want(), "").unwrap();
    let daemon = daemon_json::read(Some(&config.daemon_json.text)).unwrap();
    assert_eq!(daemon["labels"], json!(["a=b", "provider=generic", "tier=web"]));
    assert_eq!(daemon["insecure-registries"], json!(["r1:5000"]));
    assert_eq!(
        config.drop_in.unwrap(),
        format!(
            "[Service]\nEnvironment=\"FOO=bar\" \"HTTP_PROXY=http://x:1\"\nExecStart=\nExecStart={VENDOR} --storage-driver overlay2 --bip=10.0.0.1/24 -H tcp://0.0.0.0:2376\n"
        )
    );
}

#[test]
fn live_restore_is_ours_unless_somebody_chose() {
    let live = |daemon: Option<&str>, swarm: bool, want: &EngineSpec| {
        let mut facts = facts("debian-12-docker-io");
        (facts.daemon_json, facts.swarm) = (daemon.map(str::to_owned), swarm);
        let config = config(&facts, want, "").unwrap();
        daemon_json::read(Some(&config.daemon_json.text)).unwrap().get("live-restore").cloned()
    };
    let mut off = want();
    off.daemon.insert("live-restore".to_owned(), json!(false));
    assert_eq!(live(None, false, &want()), Some(json!(true)));
    assert_eq!(live(None, true, &want()), None, "swarm mode excludes it");
    assert_eq!(live(Some("{\"live-restore\": false}"), false, &want()), Some(json!(false)));
    assert_eq!(live(None, false, &off), Some(json!(false)));
}

/// The unit that came with the packages is not the one that was expected.
#[test]
fn the_drop_in_is_fitted_to_the_real_unit() {
    let config = config(&facts("debian-12-blank"), &want(), VENDOR).unwrap();
    let op = config.fit_drop_in().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("docker.service");
    let fit = |text: &str| {
        fixtures::sh(&["tee", unit.to_str().unwrap()], text);
        let stubs = format!(
            "set -e\nput() {{ printf '%s\\0' \"$@\"; }}\nsystemctl() {{ [ \"$1\" != show ] || echo FragmentPath={}; }}\n",
            unit.display()
        );
        let (status, stdout, stderr) = fixtures::sh(&["sh", "-s"], &format!("{stubs}{}\n", op.run));
        assert_eq!((status, stderr.as_str()), (0, ""));
        stdout
    };
    assert_eq!(fit(&format!("[Service]\nExecStart={VENDOR}\n")), "", "it is as expected");
    assert_eq!(
        fit("[Service]\nExecStart=/usr/bin/dockerd \\\n    -H fd:// \\\n  --x $OPTIONS\nRestart=always\n"),
        format!(
            "0644\0{DROP_IN}\0[Service]\nExecStart=\nExecStart=/usr/bin/dockerd -H fd:// --x $OPTIONS -H tcp://0.0.0.0:2376\n\0"
        )
    );
    assert!(fit("[Service]\nExecStart=/usr/bin/dockerd\n").contains("dockerd -H unix:///var/run/docker.sock -H tcp"));
}
