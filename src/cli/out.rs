//! Standard output, with its errors: a reader that leaves early must end the program quietly.

use super::CliError;
use crate::harmless::harmless;
use std::io::{self, Write};

/// Where data goes. Messages of failure go to standard error.
pub(super) struct Out {
    to: anstream::AutoStream<io::Stdout>,
    /// Whether a command goes on when its words go nowhere any more.
    goes_on: bool,
    /// Why they do not.
    failed: Option<io::Error>,
}

impl Out {
    pub(super) fn new() -> Self {
        Self { to: anstream::stdout(), goes_on: false, failed: None }
    }

    /// From now on nothing fails because a reader has left, or a terminal was closed: that is told at the end.
    pub(super) fn go_on(&mut self) {
        self.goes_on = true;
    }

    fn written(&mut self, written: io::Result<()>) -> Result<(), CliError> {
        match written {
            Err(e) if self.goes_on => {
                self.failed.get_or_insert(e);
                Ok(())
            }
            other => other.map_err(CliError::Stdout),
        }
    }

    /// Whether all that was written went somewhere.
    pub(super) fn end(&mut self) -> Result<(), CliError> {
        self.flush()?;
        self.failed.take().map_or(Ok(()), |e| Err(CliError::Stdout(e)))
    }

    /// Whether what is written can be seen, as a question must be.
    pub(super) fn is_seen(&mut self) -> Result<bool, CliError> {
        self.flush().map(|()| self.failed.is_none())
    }

    /// A text, with nothing in it that a terminal would obey but colours.
    pub(super) fn text(&mut self, text: &str) -> Result<(), CliError> {
        let text = harmless(text);
        // The stream takes colours out piece by piece, and writes each: a long text is written at once.
        if self.failed.is_some() {
            return Ok(());
        }
        let written = if !text.contains('\x1b') {
            self.to.as_inner().lock().write_all(text.as_bytes())
        } else if self.to.current_choice() == anstream::ColorChoice::Never {
            let plain = anstream::adapter::strip_str(&text).to_string();
            self.to.as_inner().lock().write_all(plain.as_bytes())
        } else {
            self.to.write_all(text.as_bytes())
        };
        self.written(written)
    }

    /// A text in which nothing is taken for a colour: what another program reads back.
    pub(super) fn exact(&mut self, text: &str) -> Result<(), CliError> {
        self.flush()?;
        let written = io::stdout().write_all(text.as_bytes());
        self.written(written)
    }

    /// A text and the end of its line.
    pub(super) fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.text(&format!("{text}\n"))
    }

    /// Makes sure that what was written is seen, as a question must be.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        let written = self.to.flush();
        self.written(written)
    }
}
