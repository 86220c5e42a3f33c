//! Shells: how each sets and unsets a variable, and what makes it do so.
//!
//! Values come from paths and URLs that other people chose, and what is printed is meant for `eval`: no value
//! can become syntax. A plain value is printed byte for byte as docker-machine prints it.

use super::{CliError, plugin};

/// A family of shells that read the same syntax.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Shell {
    /// bash, zsh, ksh, sh and all like them.
    Posix,
    Fish,
    Tcsh,
    /// csh, whose `:` takes no words.
    Csh,
    /// `PowerShell`.
    Power,
    Cmd,
    Emacs,
    Nu,
    Xonsh,
}

/// The shells by what their programs are called, those that help names first.
const NAMES: &[(&str, Shell)] = &[
    ("bash", Shell::Posix),
    ("zsh", Shell::Posix),
    ("sh", Shell::Posix),
    ("ksh", Shell::Posix),
    ("fish", Shell::Fish),
    ("tcsh", Shell::Tcsh),
    ("csh", Shell::Csh),
    ("nu", Shell::Nu),
    ("xonsh", Shell::Xonsh),
    ("powershell", Shell::Power),
    ("pwsh", Shell::Power),
    ("cmd", Shell::Cmd),
    ("emacs", Shell::Emacs),
    ("dash", Shell::Posix),
    ("ash", Shell::Posix),
    ("mksh", Shell::Posix),
    ("ksh93", Shell::Posix),
    ("yash", Shell::Posix),
    ("busybox", Shell::Posix),
    ("bsd-csh", Shell::Csh),
    ("nushell", Shell::Nu),
];

/// How many of [`NAMES`] help and completion name.
const NAMED: usize = 13;

impl Shell {
    /// By what its program is called, path and `.exe` or not.
    pub(super) fn of(program: &str) -> Option<Self> {
        let name = program.rsplit(['/', '\\']).next().unwrap_or_default();
        // A login shell is called with a dash in front.
        let name = name.trim_start_matches('-').trim_end_matches(".exe");
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, shell)| *shell)
    }

    /// The words that `--shell` takes.
    pub(super) fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().take(NAMED).map(|(name, _)| *name)
    }

    /// A line that sets a variable.
    ///
    /// # Errors
    /// When the shell has no way to write the value.
    pub(super) fn set(self, name: &str, value: &str) -> Result<String, CliError> {
        if value.contains('\0') {
            return Err(unwritable(name));
        }
        Ok(match self {
            Self::Posix => format!("export {name}=\"{}\"", escaped(value, r#"\"$`"#, '\\')),
            // In double quotes fish knows no more than these three.
            Self::Fish => format!("set -gx {name} \"{}\";", escaped(value, r#"\"$"#, '\\')),
            Self::Tcsh | Self::Csh => format!("setenv {name} {};", tcsh(value)),
            Self::Power => format!("$Env:{name} = \"{}\"", power(value)),
            Self::Cmd => cmd(name, value)?,
            Self::Emacs => format!("(setenv \"{name}\" \"{}\")", escaped(value, r#"\""#, '\\')),
            Self::Nu => format!("$env.{name} = \"{}\"", lines_escaped(&escaped(value, r#"\""#, '\\'), '\\')),
            Self::Xonsh => xonsh(name, value),
        })
    }

    /// A line that unsets a variable.
    pub(super) fn unset(self, name: &str) -> String {
        match self {
            Self::Posix => format!("unset {name}"),
            Self::Fish => format!("set -e {name};"),
            Self::Tcsh | Self::Csh => format!("unsetenv {name};"),
            // docker-machine prints two backslashes, and PowerShell takes them for one.
            Self::Power => format!("Remove-Item Env:\\\\{name}"),
            Self::Cmd => format!("SET {name}="),
            Self::Emacs => format!("(setenv \"{name}\" nil)"),
            Self::Nu => format!("hide-env --ignore-errors {name}"),
            Self::Xonsh => format!("${{...}}.pop('{name}', None)"),
        }
    }

    /// Lines of comment that say how to make the shell read what stands before them.
    pub(super) fn hint(self, words: &[String]) -> String {
        let command = command(words, self);
        let (comment, usage) = match self {
            Self::Posix => ("#", format!("eval $({command})")),
            Self::Fish => ("#", format!("eval ({command})")),
            Self::Tcsh => (":", format!("eval `{command}`")),
            Self::Csh => {
                let text = format!("Run this command to configure your shell: eval `{command}`");
                return format!("true {};\n", tcsh(&text));
            }
            Self::Power => ("#", format!("& {command} | Invoke-Expression")),
            Self::Cmd => ("REM", format!("\t@FOR /f \"tokens=*\" %i IN ('{command}') DO @%i")),
            Self::Emacs => {
                (";;", format!("(with-temp-buffer (shell-command \"{command}\" (current-buffer)) (eval-buffer))"))
            }
            // Nu reads a file before it runs the line that names it, so this takes two lines.
            Self::Nu => ("#", format!("{command} | save -f docker-env.nu\n# source docker-env.nu")),
            Self::Xonsh => ("#", format!("execx($({command}))")),
        };
        format!("{comment} Run this command to configure your shell: \n{comment} {usage}\n")
    }
}

fn unwritable(name: &str) -> CliError {
    CliError::said(format!("the value of {name} cannot be written for this shell"))
}

fn escaped(value: &str, special: &str, escape: char) -> String {
    let mut text = String::with_capacity(value.len());
    for c in value.chars() {
        if special.contains(c) {
            text.push(escape);
        }
        text.push(c);
    }
    text
}

/// Ends of lines as an escape and a letter.
fn lines_escaped(value: &str, escape: char) -> String {
    value.replace('\n', &format!("{escape}n")).replace('\r', &format!("{escape}r"))
}

/// `PowerShell` takes typographic quotes for quotes (`about_Quoting_Rules`), and `Invoke-Expression` takes line by line.
fn power(value: &str) -> String {
    lines_escaped(&escaped(value, "`\"$\u{201c}\u{201d}\u{201e}", '`'), '`')
}

/// xonsh takes a variable whose name ends in PATH for a list of folders, and puts other variables into them.
fn xonsh(name: &str, value: &str) -> String {
    let plain = value.chars().all(|c| c.is_alphanumeric() || "/_-.:@+ ".contains(c));
    let text = if plain { String::new() } else { format!("${{...}}.register('{name}', type='str')\n") };
    format!("{text}${name} = '{}'", lines_escaped(&escaped(value, "\\'", '\\'), '\\'))
}

/// In double quotes tcsh has no escape for `$`; in single quotes only history and line ends mean something.
fn tcsh(value: &str) -> String {
    if !value.contains(|c| "$`\"\\!'\n".contains(c)) {
        return format!("\"{value}\"");
    }
    let mut text = String::from("'");
    for c in value.chars() {
        match c {
            '\'' => text.push_str(r"'\''"),
            '!' => text.push_str(r"\!"),
            '\n' => text.push_str("\\\n"),
            c => text.push(c),
        }
    }
    text.push('\'');
    text
}

/// Quotes around the whole assignment keep `& | < > ^` from meaning anything.
fn cmd(name: &str, value: &str) -> Result<String, CliError> {
    if value.contains(['"', '\n', '\r', '%']) {
        return Err(unwritable(name));
    }
    let plain = !value.contains(|c| "&|<>^()!".contains(c));
    Ok(if plain { format!("SET {name}={value}") } else { format!("SET \"{name}={value}\"") })
}

/// The words of the command line, as docker-machine repeats them. It stands in a comment, or in what the
/// whole output is evaluated as, so nothing in it may end a line; and it is there to be copied, so words
/// that are not plain are quoted.
fn command(words: &[String], shell: Shell) -> String {
    let mut shown = Vec::new();
    for (position, word) in words.iter().enumerate() {
        let word: String = word.chars().filter(|c| !c.is_control()).collect();
        shown.push(match shell {
            // Two words, which docker makes one program of.
            _ if position == 0 && word == plugin::PROGRAM => word,
            Shell::Emacs if position > 0 && !is_plain(&word) => escaped(&crate::quote::quote(&word), "\\\"", '\\'),
            _ if position == 0 && word.contains([' ', '\\']) => format!("\"{word}\""),
            _ if is_plain(&word) => word,
            Shell::Xonsh => format!("'{}'", escaped(&word, "\\'", '\\')),
            Shell::Nu => format!("\"{}\"", escaped(&word, "\\\"", '\\')),
            Shell::Power => format!("\"{}\"", power(&word)),
            // For tcsh a comment is a command: history and substitutions reach into it.
            Shell::Tcsh | Shell::Csh => tcsh(&word),
            _ => crate::quote::quote(&word),
        });
    }
    shown.join(" ")
}

fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || r"_-./:=,@%+~\".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_values_are_printed_as_docker_machine_prints_them() {
        for (word, set, unset) in [
            ("bash", "export V=\"/a b\"", "unset V"),
            ("/bin/zsh", "export V=\"/a b\"", "unset V"),
            ("fish", "set -gx V \"/a b\";", "set -e V;"),
            ("tcsh", "setenv V \"/a b\";", "unsetenv V;"),
            ("powershell", "$Env:V = \"/a b\"", "Remove-Item Env:\\\\V"),
            ("cmd", "SET V=/a b", "SET V="),
            ("emacs", "(setenv \"V\" \"/a b\")", "(setenv \"V\" nil)"),
            ("nu", "$env.V = \"/a b\"", "hide-env --ignore-errors V"),
            ("xonsh", "$V = '/a b'", "${...}.pop('V', None)"),
        ] {
            let shell = Shell::of(word).unwrap();
            assert_eq!(
                (shell.set("V", "/a b").unwrap(), shell.unset("V")),
                (set.to_owned(), unset.to_owned()),
                "{word}"
            );
        }
    }

    #[test]
    fn a_shell_is_told_by_its_program() {
        for (program, want) in [
            ("bash", Some(Shell::Posix)),
            ("/bin/zsh", Some(Shell::Posix)),
            ("-fish", Some(Shell::Fish)),
            (r"C:\Program Files\PowerShell\7\pwsh.exe", Some(Shell::Power)),
            ("csh", Some(Shell::Csh)),
            ("Fish", None),
            ("make", None),
            ("", None),
        ] {
            assert_eq!(Shell::of(program), want, "{program}");
        }
        assert_eq!((Shell::names().next(), Shell::names().last()), (Some("bash"), Some("emacs")));
    }

    #[test]
    fn values_cannot_become_syntax() {
        let hostile = "$(x)`y`\"\\!'";
        for (shell, want) in [
            (Shell::Posix, r#"export V="\$(x)\`y\`\"\\!'""#),
            (Shell::Fish, r#"set -gx V "\$(x)`y`\"\\!'";"#),
            (Shell::Tcsh, r#"setenv V '$(x)`y`"\\!'\''';"#),
            (Shell::Power, "$Env:V = \"`$(x)``y```\"\\!'\""),
            (Shell::Emacs, r#"(setenv "V" "$(x)`y`\"\\!'")"#),
            (Shell::Nu, r#"$env.V = "$(x)`y`\"\\!'""#),
            (Shell::Xonsh, "${...}.register('V', type='str')\n$V = '$(x)`y`\"\\\\!\\''"),
        ] {
            assert_eq!(shell.set("V", hostile).unwrap(), want, "{shell:?}");
        }
        for (shell, want) in [(Shell::Nu, r#"$env.V = "a\nb\r""#), (Shell::Power, "$Env:V = \"a`nb`r\"")] {
            assert_eq!(shell.set("V", "a\nb\r").unwrap(), want, "read line by line");
        }
        assert_eq!(Shell::Cmd.set("V", "a&calc").unwrap(), "SET \"V=a&calc\"");
        assert!(Shell::Cmd.set("V", "a\" & calc").is_err() && Shell::Cmd.set("V", "%PATH%").is_err());
    }

    #[test]
    fn the_hint_repeats_the_command_line_on_one_line() {
        let words = |line: &[&str]| line.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert_eq!(
            Shell::Posix.hint(&words(&["docker-machine", "-s", "/home/u/.docker/machine", "env", "default"])),
            "# Run this command to configure your shell: \n\
             # eval $(docker-machine -s /home/u/.docker/machine env default)\n"
        );
        assert_eq!(Shell::Posix.hint(&words(&["m", "-s", "/x\ntouch y\n", "env"])).lines().count(), 2);
        assert!(
            Shell::Cmd.hint(&words(&["m", "env"])).ends_with("REM \t@FOR /f \"tokens=*\" %i IN ('m env') DO @%i\n")
        );
    }
}
