//! The process `systemd-nspawn` of a machine: started so that it outlives this one, found again, stopped, killed.
//!
//! Nothing is signalled unless it is certain to be ours: process id, start time and command line agree.

use super::{
    cgroup::Cgroup,
    files, network,
    place::{Folder, Record, Recorded},
    program::Program,
    tree,
};
use crate::driver::{
    DriverError,
    process::{Held, of_process},
};
use rustix::process::Signal;
use std::{ffi::OsString, fs, io, net::Ipv4Addr, path::Path, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{sleep, timeout},
};

/// How long a machine may take from start to the first word of its SSH server.
const BOOT: Duration = Duration::from_mins(2);
/// How long it may take to shut down; `systemd` itself gives services 90 s.
const SHUTDOWN: Duration = Duration::from_secs(100);
/// How long killed processes may take to be gone.
const DEATH: Duration = Duration::from_secs(20);
/// Between two attempts to connect. Nothing reports that a port opens in another network namespace.
const RETRY: Duration = Duration::from_millis(50);

/// A running `systemd-nspawn` that was found to be ours.
pub(super) struct Process {
    /// As to be recorded.
    pub(super) recorded: Recorded,
    held: Held,
}

impl Process {
    /// The process of a machine, if it runs: the recorded one, or one in its control group that was
    /// started by a run that was killed before it could record it, or when the machine restarted itself.
    pub(super) fn find(folder: &Folder, record: Option<&Record>) -> Result<Option<Self>, DriverError> {
        let recorded = record.and_then(|r| r.own.process);
        if let Some(recorded) = recorded
            && let Some(known) = Self::open(recorded.pid, &folder.root())?.filter(|p| p.recorded == recorded)
        {
            return Ok(Some(known));
        }
        Self::within(&Cgroup::of(&folder.tag())?, folder)
    }

    fn within(group: &Cgroup, folder: &Folder) -> Result<Option<Self>, DriverError> {
        let supervisors = group.supervisors().map_err(files::because("looking into", group.unified()))?;
        for pid in supervisors {
            if let Some(found) = Self::open(pid, &folder.root())? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn open(pid: i32, root: &Path) -> Result<Option<Self>, DriverError> {
        let path = format!("/proc/{pid}");
        let look = || -> io::Result<Option<Self>> {
            let Some(held) = Held::open(pid)? else { return Ok(None) };
            let Some(stat) = of_process(fs::read_to_string(format!("{path}/stat")))? else { return Ok(None) };
            let Some(started) = started(&stat) else { return Ok(None) };
            Ok(is_ours(&held.command, root).then_some(Self { recorded: Recorded { pid, started }, held }))
        };
        look().map_err(files::because("looking at", Path::new(&path)))
    }

    /// Waits until it has ended.
    async fn ended(&self) -> std::io::Result<()> {
        self.held.ended().await
    }

    /// Asks the machine to shut down, and waits.
    ///
    /// `systemd-nspawn` passes SIGTERM on to the machine as a request to shut down (systemd-nspawn(1), `--kill-signal`).
    pub(super) async fn stop(&self, folder: &Folder, machine: &str) -> Result<(), DriverError> {
        self.held.signal(Signal::TERM).map_err(|e| refused("asking the machine to stop", &e.to_string()))?;
        if timeout(SHUTDOWN, self.ended()).await.is_err() {
            return Err(DriverError::Refused {
                doing: "stopping the machine".to_owned(),
                why: format!("it did not shut down within {} s; {}", SHUTDOWN.as_secs(), console(folder)),
                help: format!("pull the plug:\n  machine kill {machine}"),
            });
        }
        clear(folder).await
    }
}

/// Kills every process of the machine and waits until none is left; also when nothing runs.
pub(super) async fn kill(folder: &Folder) -> Result<(), DriverError> {
    Cgroup::of(&folder.tag())?.kill().map_err(|e| refused("killing the machine", &e.to_string()))?;
    clear(folder).await
}

/// After the end of a machine: takes away what the kernel and `systemd-nspawn` left of it.
pub(super) async fn clear(folder: &Folder) -> Result<(), DriverError> {
    let group = Cgroup::of(&folder.tag())?;
    if !group.emptied(Duration::from_secs(2)).await {
        // A machine that shut down leaves no process soon; one whose supervisor died alone may.
        group.kill().map_err(|e| refused("killing what is left of the machine", &e.to_string()))?;
        if !group.emptied(DEATH).await {
            return Err(refused("killing the machine", "the kernel still has processes of it"));
        }
    }
    group.remove()?;
    network::unplug(&format!("vb-{}", folder.tag())).await?;
    for left in ["propagate", "unix-export"] {
        tree::remove(&Path::new("/run/systemd/nspawn").join(left).join(folder.tag())).await?;
    }
    Ok(())
}

/// Runs in a mount namespace of its own: the overlay is mounted there and nowhere else, so it goes with
/// the last process of the machine, even when all of this computer's tools are killed.
///
/// The loop is for a machine that restarts itself: with `--keep-unit`, `systemd-nspawn` then ends with
/// status 133 and leaves the rest to whom it serves (systemd-nspawn(1), "Exit status"). Each round has a
/// fresh control group, since one that was divided takes no process (cgroups(7), "no internal processes").
const LAUNCH: &str = r#"set -e
group=$1 overlay=$2 root=$3
shift 3
while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs"; shift; done
shift
echo $$ > "$group/keep/cgroup.procs"
mount -t overlay overlay -o "$overlay" "$root"
while :; do
    mkdir -p "$group/run"
    status=0
    sh -c 'echo $$ > "$0/cgroup.procs" && exec systemd-nspawn "$@"' "$group/run" "$@" || status=$?
    [ "$status" = 133 ] || exit "$status"
    find "$group/run" -depth -type d -exec rmdir {} \;
done"#;

/// Starts the machine and returns as soon as its process runs; [`booted`] waits for the rest.
pub(super) async fn launch(
    folder: &Folder,
    record: &Record,
    bridge: &str,
    group: &Cgroup,
) -> Result<Process, DriverError> {
    for path in [folder.work(), folder.root()].iter().chain(folder.plain().iter().map(|(here, _)| here)) {
        files::folder(path, 0o755)?;
    }
    let mut args: Vec<OsString> =
        ["--mount", "--propagation", "slave", "sh", "-c", LAUNCH, "machine"].map(Into::into).into();
    let mut overlay = OsString::from("lowerdir=");
    overlay.push(&record.own.lower);
    overlay.push(",upperdir=");
    overlay.push(folder.upper());
    overlay.push(",workdir=");
    overlay.push(folder.work());
    args.extend([group.unified().into(), overlay, folder.root().into()]);
    args.extend(group.limiting().map(Into::into));
    args.push("--".into());
    args.push(directory(&folder.root()));
    for (here, there) in folder.plain() {
        let mut bind = OsString::from("--bind=");
        bind.push(here);
        bind.push(":");
        bind.push(there);
        args.push(bind);
    }
    args.extend([
        "--quiet".into(),
        "--boot".into(),
        "--register=no".into(),
        "--keep-unit".into(),
        "--resolv-conf=off".into(),
        "--timezone=off".into(),
        format!("--network-bridge={bridge}").into(),
        format!("--machine={}", folder.tag()).into(),
        format!("--hostname={}", record.machine).into(),
        // What dockerd needs beyond a plain container.
        "--capability=all".into(),
        "--system-call-filter=add_key keyctl bpf".into(),
    ]);
    let log = tree::append(&folder.console())?;
    // `setsid`: no terminal and no Ctrl-C of ours reaches it. It runs in place: the child is the keeper.
    let child = Program::new("setsid", "starting the machine")
        .args(["unshare"])
        .args(args)
        // Without it the machine gets control groups of version 1, read-only, and no container starts in it.
        .env("SYSTEMD_NSPAWN_UNIFIED_HIERARCHY", "1")
        .leave(log)?;
    let keeper = child.id().and_then(|id| i32::try_from(id).ok());
    let began = async {
        loop {
            if let Some(process) = Process::within(group, folder)? {
                return Ok::<_, DriverError>(Some(process));
            }
            // Not yet there, or over: no event tells of the former.
            if !keeper.is_some_and(runs) {
                return Ok(None);
            }
            sleep(RETRY / 10).await;
        }
    };
    timeout(DEATH, began)
        .await
        .unwrap_or(Ok(None))?
        .ok_or_else(|| refused("starting the machine", &format!("it ended at once; {}", console(folder))))
}

/// Waits until the machine's SSH server answers.
pub(super) async fn booted(process: &Process, folder: &Folder, address: Ipv4Addr) -> Result<(), DriverError> {
    let failed = |why: String| refused("waiting for the machine to boot", &format!("{why}; {}", console(folder)));
    tokio::select! {
        answer = timeout(BOOT, answers(address)) => {
            answer.map_err(|_| failed(format!("no SSH server at {address}:22 within {} s", BOOT.as_secs())))
        }
        _ = process.ended() => Err(failed("it ended".to_owned())),
    }
}

async fn answers(address: Ipv4Addr) {
    let greeted = async || {
        let mut stream = TcpStream::connect((address, 22)).await.ok()?;
        let mut greeting = [0_u8; 4];
        stream.read_exact(&mut greeting).await.ok()?;
        (&greeting == b"SSH-").then_some(())
    };
    while timeout(Duration::from_secs(2), greeted()).await.ok().flatten().is_none() {
        sleep(RETRY).await;
    }
}

fn refused(doing: &str, why: &str) -> DriverError {
    DriverError::Refused {
        doing: doing.to_owned(),
        why: why.to_owned(),
        help: "correct what is wrong on this computer, then run the same command again: what is there is taken over"
            .to_owned(),
    }
}

/// The last lines of the machine's console, for an error.
fn console(folder: &Folder) -> String {
    let text = fs::read(folder.console()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return format!("its console ({}) is empty", folder.console().display());
    }
    let last = lines[lines.len().saturating_sub(15)..].join("\n");
    format!("the end of its console ({}):\n{last}", folder.console().display())
}

fn directory(root: &Path) -> OsString {
    let mut text = OsString::from("--directory=");
    text.push(root);
    text
}

/// Whether a command line (as in /proc/PID/cmdline) is that of the machine with this root.
fn is_ours(command: &[u8], root: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let mut words = command.split(|b| *b == 0);
    let program = words.next().unwrap_or_default();
    program.rsplit(|b| *b == b'/').next() == Some(b"systemd-nspawn".as_slice())
        && words.any(|w| w == directory(root).as_bytes())
}

/// Field 22 of /proc/PID/stat. The second field, the name, may hold blanks and parentheses.
fn started(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(19)?.parse().ok()
}

/// Whether there is such a process that has not ended.
fn runs(pid: i32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !matches!(rest.split_whitespace().next(), Some("Z" | "X") | None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_command_line_of_this_machine_is_ours() {
        let root = Path::new("/b/instances/web-1-00/root");
        let case =
            |line: &str, want: bool| assert_eq!(is_ours(line.replace(' ', "\0").as_bytes(), root), want, "{line}");
        case("systemd-nspawn --directory=/b/instances/web-1-00/root --quiet ", true);
        case("/usr/bin/systemd-nspawn --quiet --directory=/b/instances/web-1-00/root ", true);
        case("systemd-nspawn --directory=/b/instances/web-1-00/root2 ", false);
        case("systemd-nspawn --directory=/other/root ", false);
        case("vi --directory=/b/instances/web-1-00/root ", false);
        case("sh -c systemd-nspawn --directory=/b/instances/web-1-00/root ", false);
        case("", false);
    }

    #[test]
    fn the_start_time_is_read_behind_any_name() {
        let stat = |name: &str| format!("7 ({name}) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 999 1 0\n");
        for name in ["systemd-nspawn", "a b", "a) S 1 2", "((("] {
            assert_eq!(started(&stat(name)), Some(4242), "{name}");
        }
        assert_eq!(started(""), None);
    }

    #[test]
    fn this_process_runs_and_is_no_machine() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(runs(me));
        assert!(Process::open(me, Path::new("/b")).unwrap().is_none());
    }
}
