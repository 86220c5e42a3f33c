//! Shell commands for remote hosts, built so that no outside text can become syntax.
//!
//! Program text is `&'static str`, everything else is quoted. There is no way to make an [`Sh`] from a
//! `String` without quoting it, so `format!` cannot be used to build a command.

use std::fmt;
use zeroize::Zeroize;

/// A POSIX shell command or script. Nothing but this type reaches a remote shell.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Sh(String);

/// Quotes one word for a POSIX shell (IEEE 1003.1, XCU 2.2.2: single quotes preserve every character).
///
/// NUL cannot be passed in an argument at all, so it is dropped.
#[must_use]
pub fn quote(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"_-./:=,@%+".contains(&b);
    // A word such as `~` or `a=b` in first place means something; those callers use `template`.
    if !word.is_empty() && word.bytes().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\0', "").replace('\'', r"'\''"))
}

/// Scripts carry keys and passwords to hosts.
impl Drop for Sh {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl Sh {
    /// Program text, fixed at compile time.
    #[must_use]
    pub fn text(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// Program text in which every `{}` is replaced by the next argument, quoted.
    ///
    /// # Panics
    /// When the number of `{}` and of arguments differ, which is a mistake in this program.
    #[must_use]
    pub fn template(text: &'static str, args: &[&str]) -> Self {
        let mut pieces = text.split("{}");
        let mut built = pieces.next().unwrap_or_default().to_owned();
        let mut args = args.iter();
        for piece in pieces {
            built.push_str(&quote(args.next().expect("a template has as many arguments as holes")));
            built.push_str(piece);
        }
        assert!(args.next().is_none(), "a template has as many holes as arguments");
        Self(built)
    }

    /// A command from words, each quoted.
    #[must_use]
    pub fn words<S: AsRef<str>>(words: impl IntoIterator<Item = S>) -> Self {
        let words: Vec<String> = words.into_iter().map(|w| quote(w.as_ref())).collect();
        Self(words.join(" "))
    }

    /// A command line the *user* typed for the remote shell, as in `machine ssh web-1 -- 'ls | wc'`.
    ///
    /// The words are joined by blanks and not quoted, which is what `ssh` itself does.
    #[must_use]
    pub fn from_user(words: &[String]) -> Self {
        Self(words.join(" "))
    }

    /// Appends one quoted word.
    #[must_use]
    pub fn arg(mut self, word: impl AsRef<str>) -> Self {
        self.0.push(' ');
        self.0.push_str(&quote(word.as_ref()));
        self
    }

    /// Appends `NAME=value`, the value quoted: for `export`.
    #[must_use]
    pub fn and_assign(mut self, name: &'static str, value: &str) -> Self {
        self.0.push_str(&format!(" {name}={}", quote(value)));
        self
    }

    /// `self && next`.
    #[must_use]
    pub fn and(self, next: &Self) -> Self {
        Self(format!("{} && {}", self.0, next.0))
    }

    /// `self`, then `next` on its own line.
    #[must_use]
    pub fn then(self, next: &Self) -> Self {
        if self.0.is_empty() {
            return next.clone();
        }
        Self(format!("{}\n{}", self.0, next.0))
    }

    /// The text for the remote shell.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sh {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::properties;
    use proptest::prelude::*;

    #[test]
    fn templates_quote_their_arguments() {
        let sh = Sh::template("install -m {} /dev/stdin {}", &["0600", "/etc/a b'; rm -rf /"]);
        assert_eq!(sh.as_str(), r"install -m 0600 /dev/stdin '/etc/a b'\''; rm -rf /'");
    }

    proptest! {
        #![proptest_config(properties(64))]
        /// The law: a real shell gives back every word, byte for byte.
        #[test]
        fn a_shell_reads_back_what_was_quoted(words in proptest::collection::vec("[^\0]{0,12}", 1..5)) {
            let script = Sh::text("printf '%s\\0' ").0.clone() + Sh::words(&words).as_str();
            #[expect(clippy::disallowed_methods, reason = "the law is about a real shell")]
            let out = std::process::Command::new("sh").arg("-c").arg(script).output().unwrap();
            let back: Vec<String> = String::from_utf8(out.stdout).unwrap().split_terminator('\0').map(str::to_owned).collect();
            prop_assert_eq!(back, words);
        }
    }
}
