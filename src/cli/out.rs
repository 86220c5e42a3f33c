//! Standard output, with its errors: a reader that leaves early must end the program quietly.

use super::CliError;
use crate::harmless::harmless;
use std::io::{self, Write};

/// Where data goes. Messages of failure go to standard error.
pub(super) struct Out(anstream::AutoStream<io::Stdout>);

impl Out {
    pub(super) fn new() -> Self {
        Self(anstream::stdout())
    }

    /// A text, with nothing in it that a terminal would obey but colours.
    pub(super) fn text(&mut self, text: &str) -> Result<(), CliError> {
        let text = harmless(text);
        // The stream takes colours out piece by piece, and writes each: a long text is written at once.
        let written = if !text.contains('\x1b') {
            self.0.as_inner().lock().write_all(text.as_bytes())
        } else if self.0.current_choice() == anstream::ColorChoice::Never {
            let plain = anstream::adapter::strip_str(&text).to_string();
            self.0.as_inner().lock().write_all(plain.as_bytes())
        } else {
            self.0.write_all(text.as_bytes())
        };
        written.map_err(CliError::Stdout)
    }

    /// A text in which nothing is taken for a colour: what another program reads back.
    pub(super) fn exact(&mut self, text: &str) -> Result<(), CliError> {
        self.flush()?;
        io::stdout().write_all(text.as_bytes()).map_err(CliError::Stdout)
    }

    /// A text and the end of its line.
    pub(super) fn line(&mut self, text: &str) -> Result<(), CliError> {
        self.text(&format!("{text}\n"))
    }

    /// Makes sure that what was written is seen, as a question must be.
    pub(super) fn flush(&mut self) -> Result<(), CliError> {
        self.0.flush().map_err(CliError::Stdout)
    }
}
