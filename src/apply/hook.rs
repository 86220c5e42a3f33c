//! Hooks: recorded as due, run here or on the host, and ended when they take too long.

use super::{
    StepError,
    host::{self, LOG},
    step::Task,
};
use crate::{
    ending::Ending,
    excerpt, fault,
    hook::{Command, Hook, HookId, On, Point, limit_text},
    local::{Ended, Job},
    quote::Sh,
    record::{MachineRecord, Pending},
    store::{Area, Mode, StoreError, Versioned},
    transport::{Limits, TransportError},
    world::World,
};
use std::time::{Duration, Instant};

/// Lines of its output that an error shows.
const SHOWN: usize = 20;
/// How long after its limit a host may take to say that a hook was ended there.
const MARGIN: Duration = Duration::from_secs(30);
/// What of our environment is for us alone.
const OURS: &[&str] = &["MACHINE_EXPORT_PASSPHRASE"];
/// Set for hooks on this computer, so that what they call knows within what it runs.
pub(crate) const WITHIN: &str = "MACHINE_HOOK";

/// Runs the hook of a step.
pub(super) async fn perform(task: &Task, hook: &Hook) -> Result<(), StepError> {
    let id = task.id.hook.as_ref().ok_or(StepError::Bug("a hook without a name"))?;
    let mut record = match task.load().await {
        // Before a machine is made there is no record to say that this is under way.
        Err(StepError::Store(StoreError::Absent(_))) if id.point == Point::PreCreate => {
            Versioned::new(new_record(task)?)
        }
        other => other?,
    };
    if let Some(host) = task.host.as_ref().filter(|_| !task.id.rm) {
        record.hooks.spec.clone_from(&host.hooks);
    }
    task.note_due(&mut record);
    task.save(&mut record).await?;
    run(&task.world, &mut record, id, hook, &|text| task.progress(text)).await?;
    record.hooks.pending.retain(|(point, name)| !(*point == id.point && *name == id.name));
    let last_of_all =
        id.point == Point::PostRm && record.hooks.pending.iter().all(|(point, _)| *point != Point::PostRm);
    if last_of_all && record.pending.values().any(|pending| *pending == Pending::Rm) {
        return Ok(task.world.store.remove(&task.id.machine).await?);
    }
    task.save(&mut record).await
}

fn new_record(task: &Task) -> Result<MachineRecord, StepError> {
    let host = task.host()?;
    let name = task.id.machine.clone();
    let mut record = MachineRecord::new(name, task.fleet.clone(), &host.driver, host.options.clone());
    record.depends_on.clone_from(&host.depends_on);
    record.protect = host.protect;
    Ok(record)
}

/// Runs one hook of a recorded machine to its end. A host key may be pinned at that.
///
/// # Errors
/// When it cannot be run, fails, or takes too long.
pub async fn run(
    world: &World,
    record: &mut Versioned,
    id: &HookId,
    hook: &Hook,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), StepError> {
    let mut lines = |line: &str| {
        if !line.trim().is_empty() {
            progress(line);
        }
    };
    let facts = facts(record, id);
    let (ended, printed) = match hook.on {
        On::Local => {
            let mut env = facts;
            env.push((WITHIN, format!("{} {} of {}", id.point, id.name, record.name)));
            // What it calls does not wait for locks, for one of them is held until it ends.
            env.push(("MACHINE_LOCK_TIMEOUT", "0".to_owned()));
            env.push(("MACHINE_STORAGE_PATH", world.store.files.root().to_string_lossy().into_owned()));
            let job = Job { run: &hook.run, env: &env, without: OURS, limit: hook.limit() };
            fault::pass("hook.run", record.name.as_str());
            let ended = world.local.run(&job, &mut lines).await;
            fault::pass("hook.run.done", record.name.as_str());
            ended.map_err(|e| failed(id, hook, e.to_string(), ""))?
        }
        On::Host => on_host(world, record, id, hook, &facts, &mut lines).await?,
    };
    let why = match ended {
        Ended::Status(0) => return Ok(()),
        Ended::Status(status) => Ending(status).to_string(),
        Ended::TimedOut => format!("took longer than {} and was ended", limit_text(hook.timeout)),
    };
    // The whole of it is kept, since only the last lines are shown.
    let file = (LOG, printed.as_bytes(), Mode::Private);
    world.store.files.write(Area::Machine(&record.name), &[file]).await?;
    Err(failed(id, hook, format!("`{}` {why}", hook.short()), &printed))
}

fn failed(id: &HookId, hook: &Hook, why: String, printed: &str) -> StepError {
    let lines: Vec<&str> = printed.trim_end().lines().collect();
    let last: Vec<_> = lines[lines.len().saturating_sub(SHOWN)..].iter().map(|line| excerpt::line(line)).collect();
    let last = last.join("\n");
    StepError::Hook { point: id.point, on: hook.on, why, output: last }
}

/// What a hook is told of its machine.
fn facts(record: &MachineRecord, id: &HookId) -> Vec<(&'static str, String)> {
    let instance = record.instance.as_ref();
    vec![
        ("MACHINE_NAME", record.name.to_string()),
        ("MACHINE_FLEET", record.fleet.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("MACHINE_ADDRESS", instance.map(|i| i.address.clone()).unwrap_or_default()),
        ("MACHINE_URL", record.url().unwrap_or_default()),
        ("MACHINE_DRIVER", record.driver.clone()),
        ("MACHINE_ACTION", id.point.action().to_owned()),
    ]
}

async fn on_host(
    world: &World,
    record: &mut Versioned,
    id: &HookId,
    hook: &Hook,
    facts: &[(&'static str, String)],
    lines: &mut (dyn FnMut(&str) + Send),
) -> Result<(Ended, String), StepError> {
    // A machine that is removed may be gone: its boot is not waited for.
    let transport = host::connect(world, record, !id.point.is_rm()).await?;
    let limit = hook.limit();
    let limits = Limits { total: limit + MARGIN, idle: limit + MARGIN };
    let begun = Instant::now();
    let script = script(hook, facts);
    match transport.run_as_root(&script, limits, lines).await {
        // 124: `timeout` ended it; 137: it had to be killed.
        Ok(output) if matches!(output.status, 124 | 137) && begun.elapsed() >= limit => {
            Ok((Ended::TimedOut, output.stdout + &output.stderr))
        }
        Ok(output) => Ok((Ended::Status(output.status), output.stdout + &output.stderr)),
        Err(TransportError::Timeout { .. }) if begun.elapsed() >= limit => Ok((Ended::TimedOut, String::new())),
        Err(e) => Err(e.into()),
    }
}

/// The hook as a script of the host. There it is ended by `timeout`, with all it started: sshd would let it run on.
fn script(hook: &Hook, facts: &[(&'static str, String)]) -> Sh {
    let words: Vec<&str> = match &hook.run {
        Command::Shell(text) => vec!["sh", "-c", text],
        Command::Program(words) => words.iter().map(String::as_str).collect(),
    };
    let told = facts.iter().fold(Sh::text("export"), |sh, (name, value)| sh.and_assign(name, value));
    told.then(&Sh::words(["set", "--"].into_iter().chain(words)))
        .then(&Sh::template(
            "if command -v timeout >/dev/null 2>&1; then set -- timeout -k 5 {} \"$@\"; fi",
            &[&hook.timeout.to_string()],
        ))
        .then(&Sh::text("\"$@\" </dev/null 2>&1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(run: Command) -> Hook {
        Hook { name: "x".to_owned(), run, on: On::Host, timeout: 1 }
    }

    #[expect(clippy::disallowed_methods, reason = "what a host does is what a real shell does")]
    fn real(hook: &Hook) -> (Option<i32>, String) {
        use std::io::Write as _;
        let facts = [("MACHINE_NAME", "web-1; touch /tmp/pwned".to_owned()), ("MACHINE_ADDRESS", "it's".to_owned())];
        let mut sh = std::process::Command::new("sh")
            .arg("-s")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let text = format!("{}\n", script(hook, &facts));
        sh.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        let output = sh.wait_with_output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }

    #[test]
    fn a_real_shell_runs_a_hook_with_its_facts_and_both_streams_in_one() {
        let shell = Command::Shell(
            "printf '%s|%s\\n' \"$MACHINE_NAME\" \"$MACHINE_ADDRESS\"; echo err >&2; cat; exit 7".to_owned(),
        );
        assert_eq!(real(&hook(shell)), (Some(7), "web-1; touch /tmp/pwned|it's\nerr\n".to_owned()));
        let words = Command::Program(["printf", "%s|", "$MACHINE_NAME", "a  b", "it's"].map(str::to_owned).to_vec());
        assert_eq!(real(&hook(words)), (Some(0), "$MACHINE_NAME|a  b|it's|".to_owned()));
    }

    #[test]
    fn a_real_shell_ends_a_hook_that_takes_too_long() {
        let begun = Instant::now();
        assert_eq!(
            real(&hook(Command::Shell("echo begun; sleep 300 & wait".to_owned()))),
            (Some(124), "begun\n".to_owned())
        );
        assert!(begun.elapsed() < Duration::from_mins(1));
    }

    #[test]
    fn an_error_shows_the_last_lines_only() {
        let text: String = (1..=30).fold(String::new(), |text, n| text + &format!("line {n}\n"));
        let id = HookId { point: Point::PostCreate, number: 0, name: "x".to_owned() };
        let error = failed(&id, &hook(Command::Shell("x".to_owned())), "why".to_owned(), &text);
        let shown = error.stderr().unwrap();
        assert_eq!(
            (shown.lines().count(), shown.lines().next(), shown.lines().last()),
            (20, Some("line 11"), Some("line 30"))
        );
    }
}
