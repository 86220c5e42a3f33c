//! Passphrases: from a file, the environment or a terminal that does not show them. Never from the command line, where
//! everybody could read them.

use super::{CliError, Cx};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, IsTerminal as _, Write as _},
    path::Path,
};
use zeroize::Zeroizing;

/// Where a passphrase may be given beforehand.
pub(super) const VARIABLE: &str = "MACHINE_EXPORT_PASSPHRASE";

/// Whether it is a new one, which is asked for twice.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Asked {
    Once,
    Twice,
}

/// The passphrase that was given beforehand.
pub(super) fn given(cx: &Cx, file: Option<&Path>) -> Result<Option<Zeroizing<String>>, CliError> {
    let Some(file) = file else { return Ok(cx.var(VARIABLE).map(Zeroizing::new)) };
    let text = fs::read_to_string(file)
        .map(Zeroizing::new)
        .map_err(|e| CliError::said(format!("cannot read the passphrase in {}: {e}", file.display())))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(CliError::said(format!("there is no passphrase in {}", file.display())));
    }
    Ok(Some(Zeroizing::new(line.to_owned())))
}

/// Asks on the terminal; `None` when there is none. Standard input may be something else, so it is not read.
pub(super) fn ask(what: &str, asked: Asked) -> Result<Option<Zeroizing<String>>, CliError> {
    if !io::stderr().is_terminal() {
        return Ok(None);
    }
    let Ok(terminal) = OpenOptions::new().read(true).write(true).open("/dev/tty") else { return Ok(None) };
    let failed = |e: io::Error| CliError::said(format!("cannot read the passphrase: {e}"));
    let first = hidden_line(&terminal, &format!("Passphrase {what}: ")).map_err(failed)?;
    if first.is_empty() {
        return Err(CliError::said("a passphrase cannot be empty"));
    }
    if asked == Asked::Twice && hidden_line(&terminal, "The same again: ").map_err(failed)? != first {
        return Err(CliError::said("these were two different passphrases"));
    }
    Ok(Some(first))
}

/// A terminal that shows nothing of what is typed, until it is dropped.
struct Hidden<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Hidden<'t> {
    fn new(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        silent.local_modes.insert(LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(terminal, OptionalActions::Drain, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to restore.
        let _ = tcsetattr(self.terminal, OptionalActions::Drain, &self.before);
    }
}

fn hidden_line(mut terminal: &File, question: &str) -> io::Result<Zeroizing<String>> {
    let _hidden = Hidden::new(terminal)?;
    terminal.write_all(question.as_bytes())?;
    let mut line = Zeroizing::new(String::new());
    BufReader::with_capacity(1, terminal).read_line(&mut line)?;
    Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
}
