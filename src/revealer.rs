//! The one place that looks for secrets: in the environment, in files, at programs. Each is looked for once per run.

use crate::secret::{Reveal, Revealed, Secret, SecretCommand, SecretError, SecretProblem};
use std::{
    collections::BTreeMap,
    io::{self, Read},
    os::unix::fs::PermissionsExt,
    path::PathBuf,
    process::{Child, Stdio},
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};
use zeroize::{Zeroize, Zeroizing};

/// Longer texts are no secrets.
const LONGEST: u64 = 64 * 1024;
/// How long a program may take: it may ask a person, or a service far away.
const LIMIT: Duration = Duration::from_mins(1);
/// Between two looks at a program that has closed its output and not ended yet.
const POLL: Duration = Duration::from_millis(5);

/// What became of one reference: nothing yet, or what it is, or why it is not to be had.
type Answer = Arc<Mutex<Option<Result<Revealed, SecretError>>>>;

/// Looks where references point, and remembers the answers, good and bad, for the rest of the run.
#[derive(Default)]
pub struct Revealer {
    answers: Mutex<BTreeMap<Secret, Answer>>,
    limit: Option<Duration>,
}

impl Revealer {
    /// Knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with another limit for programs.
    #[must_use]
    pub fn with_limit(self, limit: Duration) -> Self {
        Self { limit: Some(limit), ..self }
    }

    /// Takes what was given on the command line as what `secret` refers to, for this run.
    pub fn know(&self, secret: Secret, text: &str) {
        let answer = check(&secret, Zeroizing::new(text.as_bytes().to_vec()));
        *self.answer(secret).lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
    }

    fn answer(&self, secret: Secret) -> Answer {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(answers.entry(secret).or_default())
    }
}

impl Reveal for Revealer {
    fn reveal(&self, secret: &Secret) -> Result<Revealed, SecretError> {
        let answer = self.answer(secret.clone());
        // A second look waits for the first: a program that asks a person must not ask twice.
        let mut answer = answer.lock().unwrap_or_else(PoisonError::into_inner);
        answer.get_or_insert_with(|| look(secret, self.limit.unwrap_or(LIMIT))).clone()
    }
}

fn look(secret: &Secret, limit: Duration) -> Result<Revealed, SecretError> {
    let wrong = |why| SecretError { secret: secret.clone(), why };
    let bytes = match secret {
        Secret::Env(name) => {
            let value = std::env::var_os(name).ok_or_else(|| wrong(SecretProblem::Unset))?;
            Zeroizing::new(std::os::unix::ffi::OsStringExt::into_vec(value))
        }
        Secret::File(path) => file(path).map_err(wrong)?,
        Secret::Command(command) => run(command, limit).map_err(wrong)?,
        // It belongs to one machine: `DriverContext::reveal` knows which.
        Secret::Config(_) => return Err(wrong(SecretProblem::NotHere)),
    };
    check(secret, bytes)
}

/// The text without the end of its last line, which editors and programs add.
fn check(secret: &Secret, mut bytes: Zeroizing<Vec<u8>>) -> Result<Revealed, SecretError> {
    let wrong = |why| Err(SecretError { secret: secret.clone(), why });
    if !matches!(secret, Secret::Env(_)) && bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    if bytes.len() as u64 > LONGEST {
        return wrong(SecretProblem::TooLong);
    }
    if bytes.is_empty() {
        return wrong(SecretProblem::Empty);
    }
    if bytes.contains(&0) {
        return wrong(SecretProblem::NotText);
    }
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Revealed::new(text)),
        Err(e) => {
            e.into_bytes().zeroize();
            wrong(SecretProblem::NotText)
        }
    }
}

fn file(path: &str) -> Result<Zeroizing<Vec<u8>>, SecretProblem> {
    let failed = |e: &io::Error| SecretProblem::Io(io_text(e));
    let place = match (path.strip_prefix("~/"), std::env::home_dir()) {
        (Some(rest), Some(home)) => home.join(rest),
        (Some(_), None) => return Err(SecretProblem::Io("there is no home directory".to_owned())),
        (None, _) => PathBuf::from(path),
    };
    let file = std::fs::File::open(place).map_err(|e| failed(&e))?;
    let about = file.metadata().map_err(|e| failed(&e))?;
    if about.is_dir() {
        return Err(SecretProblem::Io("it is a folder".to_owned()));
    }
    // A pipe of a shell, as in <(pass show it), has no mode that says anything.
    let mode = about.permissions().mode() & 0o777;
    if about.is_file() && mode & 0o077 != 0 {
        return Err(SecretProblem::Loose(mode));
    }
    read(file).map_err(|e| failed(&e))
}

/// All of it up to one byte more than may be, into memory that is wiped and never moved.
fn read(from: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let most = LONGEST + 2;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(most).expect("64 KiB fit")));
    from.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn io_text(e: &io::Error) -> String {
    match e.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => e.to_string(),
    }
}

fn run(command: &SecretCommand, limit: Duration) -> Result<Zeroizing<Vec<u8>>, SecretProblem> {
    let argv = command.argv();
    let (program, rest) = argv.split_first().expect("a command has a program");
    #[expect(clippy::disallowed_methods, reason = "the user's own program that prints a secret; nothing of it is told")]
    let mut child = std::process::Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // It may repeat the secret.
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => SecretProblem::Io("there is no such program".to_owned()),
            _ => SecretProblem::Io(io_text(&e)),
        })?;
    let deadline = Instant::now() + limit;
    let output = child.stdout.take().expect("its output is a pipe");
    let (sender, receiver) = mpsc::channel();
    // Its own thread, because what the program has started may hold the pipe for ever.
    std::thread::spawn(move || drop(sender.send(read(output))));
    let answer = receiver.recv_timeout(limit);
    let status = if answer.is_ok() { ended(&mut child, deadline) } else { None };
    let (Ok(answer), Some(status)) = (answer, status) else {
        // Errors: it has ended just now.
        let _ = child.kill();
        let _ = child.wait();
        return Err(SecretProblem::Slow(limit.as_secs().max(1)));
    };
    // A program that is not read to its end may fail of that.
    let whole = answer.as_ref().is_ok_and(|bytes| bytes.len() as u64 <= LONGEST);
    if whole && !status.success() {
        // `exit status: 3`, or `signal: 9 (SIGKILL)`.
        return Err(SecretProblem::Failed(status.to_string()));
    }
    answer.map_err(|e| SecretProblem::Io(io_text(&e)))
}

/// The status of a program that has closed its output; `None` when it does not end in time.
fn ended(child: &mut Child, deadline: Instant) -> Option<std::process::ExitStatus> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < deadline => std::thread::sleep(POLL),
            Ok(None) | Err(_) => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path};

    fn write(path: &Path, mode: u32, bytes: &[u8]) -> Secret {
        let mut file =
            std::fs::OpenOptions::new().create(true).truncate(true).write(true).mode(mode).open(path).unwrap();
        file.write_all(bytes).unwrap();
        file.set_permissions(std::fs::Permissions::from_mode(mode)).unwrap();
        Secret::File(path.to_str().unwrap().to_owned())
    }

    fn line(line: &str) -> Secret {
        Secret::Command(SecretCommand::Line(line.to_owned()))
    }

    fn told(secret: &Secret) -> Result<String, SecretProblem> {
        Revealer::new().reveal(secret).map(|it| it.expose().to_owned()).map_err(|e| e.why)
    }

    #[test]
    fn a_file_gives_its_text_without_the_end_of_the_last_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        for (bytes, want) in [
            (&b"hunter2\n"[..], Ok("hunter2")),
            (b"hunter2\r\n", Ok("hunter2")),
            (b" two\nlines\n\n", Ok(" two\nlines\n")),
            (b"\n", Err(SecretProblem::Empty)),
            (b"", Err(SecretProblem::Empty)),
            (b"a\0b", Err(SecretProblem::NotText)),
            (b"\xff\xfe", Err(SecretProblem::NotText)),
        ] {
            assert_eq!(told(&write(&path, 0o600, bytes)), want.map(str::to_owned));
        }
        assert_eq!(told(&write(&path, 0o600, &vec![b'x'; 70_000])), Err(SecretProblem::TooLong));
        assert_eq!(told(&Secret::File("/no/such".into())), Err(SecretProblem::Io("there is no such file".into())));
        assert_eq!(told(&Secret::File("/".into())), Err(SecretProblem::Io("it is a folder".into())));
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_chmod() {
        let dir = tempfile::tempdir().unwrap();
        for mode in [0o640, 0o604, 0o644] {
            let secret = write(&dir.path().join("a secret"), mode, b"hunter2");
            let error = Revealer::new().reveal(&secret).unwrap_err();
            assert_eq!(error.why, SecretProblem::Loose(mode));
            assert_eq!(
                error.help(),
                format!("let only its owner read it:\n  chmod 600 '{}/a secret'", dir.path().display())
            );
        }
    }

    #[test]
    fn a_command_gives_what_it_prints_and_nothing_it_says_is_told() {
        assert_eq!(told(&line("printf 'hunter2\\n'; echo no >&2")), Ok("hunter2".into()));
        let words = ["printf", "%s", "a b$(id)"].map(str::to_owned).to_vec();
        assert_eq!(told(&Secret::Command(SecretCommand::Words(words))), Ok("a b$(id)".into()));
        let error = Revealer::new().reveal(&line("echo hunter2; echo hunter2 >&2; exit 3")).unwrap_err();
        assert_eq!(error.why.to_string(), "the command ended with exit status: 3");
        assert_eq!(told(&line("true")), Err(SecretProblem::Empty));
        let none = Secret::Command(SecretCommand::Words(vec!["/no/such".into()]));
        assert_eq!(told(&none), Err(SecretProblem::Io("there is no such program".into())));
        assert_eq!(told(&line("yes")), Err(SecretProblem::TooLong));
    }

    #[test]
    fn a_command_that_does_not_end_is_ended() {
        for slow in ["sleep 600", "echo x; exec >/dev/null; sleep 600", "sleep 600 & echo x"] {
            let begun = Instant::now();
            let error = Revealer::new().with_limit(Duration::from_millis(300)).reveal(&line(slow)).unwrap_err();
            assert_eq!(error.why, SecretProblem::Slow(1), "{slow}");
            assert!(begun.elapsed() < Duration::from_secs(20), "{slow}");
        }
    }

    #[test]
    fn each_reference_is_looked_for_once_by_however_many() {
        let dir = tempfile::tempdir().unwrap();
        let count = dir.path().join("count");
        for (end, want) in [("echo x", true), ("exit 1", false)] {
            let secret = line(&format!("echo once >>{}; {end}", count.display()));
            let revealer = Revealer::new();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| assert_eq!(revealer.reveal(&secret).is_ok(), want));
                }
            });
        }
        assert_eq!(std::fs::read_to_string(count).unwrap(), "once\nonce\n", "bad answers are remembered, too");
    }

    #[test]
    fn what_was_given_on_the_command_line_is_known_for_this_run() {
        let secret = Secret::Env("MACHINE_TEST_NO_SUCH_VARIABLE".into());
        let revealer = Revealer::new();
        revealer.know(secret.clone(), "hunter2");
        assert_eq!(revealer.reveal(&secret).unwrap().expose(), "hunter2");
        let error = Revealer::new().reveal(&secret).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the secret { env: MACHINE_TEST_NO_SUCH_VARIABLE } cannot be had: the variable is not set"
        );
        assert!(error.help().ends_with("\n  export MACHINE_TEST_NO_SUCH_VARIABLE=…"));
    }
}
