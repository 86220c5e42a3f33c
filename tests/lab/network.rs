//! Bad networks and hosts that hang, with real hosts (pains 26 and 30): every run ends in bounded time and says what
//! was waited for and how long, the other hosts converge, and once the network is good again the next apply is all it
//! takes.

use crate::{
    lab::{
        self, Lab, Said,
        running::{Running, await_that},
    },
    proxy::{Proxy, Weather},
};
use std::{
    io::Read as _,
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};

/// Two hosts whose engines have this label; times are short, for here nothing is far away.
fn fleet(lab: &Lab, label: u32, timeouts: &str) -> String {
    lab.file(
        "fleet.yaml",
        &format!(
            "fleet: networks
defaults: {{ driver: nspawn, engine: {{ source: distro, labels: {{ n: '{label}' }} }} }}
hosts:
  bad: {{ image: debian-12 }}
  good: {{ image: debian-12 }}
policy: {{ timeouts: {{ {timeouts} }} }}
"
        ),
    )
}

/// Applies, and sees that it ends in time.
#[track_caller]
fn within(lab: &Lab, limit: u64, file: &str) -> Said {
    let begun = Instant::now();
    let said = lab.machine(&["apply", "-y", file]);
    let took = begun.elapsed();
    println!("--- {took:?}\n{}{}", said.out, said.err);
    assert!(took < Duration::from_secs(limit), "it took {took:?}");
    said
}

/// The next apply brings all to what the file says, and then there is nothing to do.
#[track_caller]
fn converges(lab: &Lab, file: &str) {
    lab.machine(&["apply", "-y", file]).ok();
    lab.machine(&["plan", "--detailed-exitcode", file]).ok().says("Nothing to do");
}

fn ip(args: &[&str]) -> String {
    #[expect(clippy::disallowed_methods, reason = "the lab's cables are pulled with the system's own program")]
    let said = Said::of(&Command::new(args[0]).args(&args[1..]).output().unwrap());
    said.ok().out
}

/// The end of a machine's cable on this computer.
fn cable(address: &str) -> String {
    let neighbour = ip(&["ip", "neigh", "show", address]);
    let mac = neighbour.split("lladdr ").nth(1).unwrap().split(' ').next().unwrap().to_owned();
    let table = ip(&["bridge", "fdb", "show"]);
    let line = table.lines().find(|line| line.starts_with(&mac)).unwrap_or_else(|| panic!("no {mac} in {table}"));
    line.split("dev ").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

/// From now on the host's engine takes for ever to take over a configuration.
fn hang(lab: &Lab) {
    lab.on(
        "bad",
        "mkdir -p /run/systemd/system/docker.service.d && printf '[Service]\\nExecReload=\\nExecReload=/bin/sleep 600\\n\
         ExecStartPre=/bin/sleep 600\\nTimeoutStartSec=infinity\\n' >/run/systemd/system/docker.service.d/zz-hang.conf && \
         systemctl daemon-reload",
    );
}

fn unhang(lab: &Lab) {
    lab.on(
        "bad",
        "rm -f /run/systemd/system/docker.service.d/zz-hang.conf; systemctl daemon-reload; \
         systemctl kill -s KILL docker || true; systemctl stop docker || true; systemctl reset-failed docker || true",
    );
}

/// A connection that takes the only place for logins. After a reload sshd is away for a moment, and before it the old
/// one still answers, with room for others: the right one is there once it tells the next connection so.
fn only_login(address: &str) -> TcpStream {
    let mut only = None;
    await_that("sshd turns the second login away", || {
        let connect = || TcpStream::connect((address, 22)).ok();
        let (Some(first), Some(mut second)) = (connect(), connect()) else { return false };
        second.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut said = [0; 8];
        let heard = second.read_exact(&mut said).is_ok();
        only = Some(first);
        // What sshd says in place of its version: the first until 9.7, then the second.
        heard && (said.starts_with(b"Exceeded") || said.starts_with(b"Not allo"))
    });
    only.expect("waited for it")
}

#[test]
fn a_bad_network_costs_bounded_time_and_one_more_apply() {
    if !lab::ready(&["bridge"]) {
        return;
    }
    let lab = Lab::golden();
    let file = fleet(&lab, 1, "");
    lab.machine(&["apply", "-y", &file]).ok();
    let address = lab.machine(&["ip", "bad"]).ok().out.trim().to_owned();

    // A partition: found before anything is done to it, while the other host converges.
    let short = "connect: 2s, boot: 4s, command: 10s";
    let file = fleet(&lab, 2, short);
    let cable = cable(&address);
    ip(&["ip", "link", "set", &cable, "down"]);
    let said = within(&lab, 60, &file);
    ip(&["ip", "link", "set", &cable, "up"]);
    assert!([1, 3].contains(&said.code), "{}", said.code);
    assert!(said.out.contains("good  converged"), "{}", said.out);
    assert!(said.out.contains("bad ") && (said.out + &said.err).contains(&address), "{}", said.err);
    await_that("the network is back", || lab.machine(&["ssh", "bad", "--", "true"]).code == 0);
    converges(&lab, &file);

    // A host that hangs in the middle of a command.
    let file = fleet(&lab, 3, "connect: 2s, boot: 4s, install: 12s");
    hang(&lab);
    let said = within(&lab, 90, &file);
    unhang(&lab);
    assert_eq!(said.code, 3);
    assert!(said.out.contains("good  converged"), "{}", said.out);
    assert!(said.err.contains("error: bad: engine failed"), "{}", said.err);
    assert!(
        said.err.contains("(`reload docker`)")
            && said.err.contains("no answer within ")
            && said.err.contains(" s while waiting for a command"),
        "{}",
        said.err
    );
    converges(&lab, &fleet(&lab, 3, ""));

    // An sshd with no room for one more login.
    lab.on(
        "bad",
        "mkdir -p /etc/ssh/sshd_config.d && echo 'MaxStartups 1:100:1' >/etc/ssh/sshd_config.d/00-one.conf && \
         (systemctl reload ssh || systemctl restart ssh)",
    );
    let file = fleet(&lab, 4, short);
    let waiting = only_login(&address);
    let said = within(&lab, 60, &file);
    drop(waiting);
    assert!([1, 3].contains(&said.code), "{}", said.code);
    assert!(said.out.contains("good  converged"), "{}", said.out);
    await_that("sshd has room", || lab.machine(&["ssh", "bad", "--", "true"]).code == 0);
    lab.on("bad", "rm /etc/ssh/sshd_config.d/00-one.conf && (systemctl reload ssh || systemctl restart ssh)");
    converges(&lab, &file);

    // The host goes down in the middle of an apply.
    let file = fleet(&lab, 5, "");
    hang(&lab);
    let mut running = Running::piped(&lab, &["apply", "-y", &file]);
    running.until("bad");
    await_that("the engine is being changed", || {
        let jobs = lab.machine(&["ssh", "bad", "--", "systemctl", "list-jobs", "--no-legend"]);
        jobs.out.contains("docker.service")
    });
    let begun = Instant::now();
    lab.machine(&["ssh", "bad", "--", "systemctl", "poweroff", "-ff"]);
    let (code, said) = running.end();
    println!("--- {:?}\n{said}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", begun.elapsed());
    assert_eq!(code, 3, "{said}");
    assert!(said.contains("error: bad: engine failed") && said.contains("good  converged"), "{said}");
    // Its network is gone before its processes are, and until then it counts as a host that runs.
    await_that("the host is off", || lab.machine(&["status", "bad"]).out == "Stopped\n");
    converges(&lab, &file);

    far_away(&lab);
    lab.machine(&["rm", "-f", "bad", "good"]).ok();
}

/// The same host behind 300 ms in each direction, with a third of all pieces lost and sent again; and one whose
/// network stalls or is cut in the middle.
fn far_away(lab: &Lab) {
    let address = lab.machine(&["ip", "good"]).ok().out.trim().to_owned();
    let proxy = Proxy::to(format!("{address}:22").parse().unwrap());
    let key = lab.store().join("machines/good/id_ed25519");
    let file = |label: u32, timeouts: &str| {
        lab.file(
            "far.yaml",
            &format!(
                "fleet: far
hosts:
  far:
    driver: generic
    ip: 127.0.0.1
    ssh-port: {}
    ssh-user: root
    ssh-key: {}
    engine: {{ source: distro, api: ssh, labels: {{ n: '{label}' }} }}
policy: {{ timeouts: {{ {timeouts} }} }}
",
                proxy.port,
                key.display()
            ),
        )
    };
    let far = |delay| Weather::Slow { delay, lost_percent: 30, again: Duration::from_millis(600) };
    proxy.set(far(Duration::from_millis(300)));
    let slow = file(10, "");
    within(lab, 150, &slow).ok().says("far  converged");
    lab.machine(&["plan", "--detailed-exitcode", &slow]).ok().says("Nothing to do");

    proxy.set(Weather::Fine);
    for (label, stalls) in [(11, true), (12, false)] {
        let file = file(label, "connect: 3s, boot: 5s, command: 10s, install: 30s");
        let mut running = Running::piped(lab, &["apply", "-y", &file]);
        running.until("provisioning with");
        let begun = Instant::now();
        if stalls {
            proxy.set(Weather::Stalled);
        } else {
            proxy.cut();
        }
        let (code, said) = running.end();
        println!("--- {:?}\n{said}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
        assert_eq!(code, 1, "{said}");
        assert!(said.contains("error: far: engine failed"), "{said}");
        proxy.set(Weather::Fine);
        proxy.cut();
        converges(lab, &file);
    }
    lab.machine(&["adopt", "--release", "far"]).ok();
    lab.machine(&["rm", "-y", "far"]).ok();
}
