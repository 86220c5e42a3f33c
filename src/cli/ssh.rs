//! `ssh`: a shell or a command on a machine, with the host key that is recorded for it.

use super::{CliError, Cx, Exit, Group, Out, Run, help, login::Login, machine::Machine, names, program::Program};
use crate::{
    quote::Sh,
    transport::{self, ssh::Tty},
};
use std::ffi::OsString;

/// Log in to a machine, or run a command on it
#[derive(clap::Args)]
#[command(after_help = "\
Words that begin with `-` in front of the command are options of OpenSSH's ssh, which then does the work, as in \
`ssh web-1 -L 8080:localhost:80 -N`. Otherwise the client is built in; `--native-ssh=false` in front of `ssh` always \
takes OpenSSH's.")]
pub(super) struct Ssh {
    /// The machine, then the command; no command: a login shell
    #[arg(value_name = "NAME", trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Run for Ssh {
    const NAME: &'static str = "ssh";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        if matches!(self.words.first().map(String::as_str), Some("-h" | "-help" | "--help")) {
            out.text(&help::of(cx, Self::NAME))?;
            return Ok(Exit::Done);
        }
        let world = cx.world()?;
        let (name, words) = match self.words.split_first() {
            Some((name, words)) => (name.clone(), words),
            None => (names::one(&world.store, &[])?, &[][..]),
        };
        let openssh = Program::find(cx, "ssh");
        let client = Client::choose(words, cx.native_ssh, openssh.is_some())?;
        let mut login = Login::of(cx, &world, Machine::load(&world, &name)?)?;
        // From here on standard output belongs to the host.
        out.flush()?;
        match (client, openssh) {
            (Client::OpenSsh, Some(program)) => {
                let config = cx.block_on(async {
                    login.check(DOING).await?;
                    login.config().await
                })??;
                let mut all: Vec<OsString> = vec!["-F".into(), config.path.into()];
                // What comes first counts, and options of the user come after these.
                all.extend(["-o", "LogLevel=ERROR", "-o", "StrictHostKeyChecking=yes"].map(OsString::from));
                all.push(login.name().into());
                all.extend(words.iter().map(OsString::from));
                Err(program.replace_us(all))
            }
            (Client::BuiltIn { command, tty }, _) => {
                let command = (!command.is_empty()).then(|| Sh::from_user(command));
                let status = cx.block_on(session(&mut login, command.as_ref(), tty))??;
                Ok(if status == 0 { Exit::Done } else { Exit::Remote(u8::try_from(status).unwrap_or(u8::MAX)) })
            }
            (Client::OpenSsh, None) => unreachable!("it is chosen only when it is there"),
        }
    }
}

/// What cannot be done with a machine that does not run.
const DOING: &str = "Cannot run SSH command";

/// Which program does the work.
#[derive(Debug, Eq, PartialEq)]
enum Client<'a> {
    /// We.
    BuiltIn { command: &'a [String], tty: Tty },
    /// OpenSSH's program, given all words.
    OpenSsh,
}

impl<'a> Client<'a> {
    /// `native` is what the user says of it; `installed`: whether there is an OpenSSH. Of its options only those about
    /// a terminal are known here; `--` ends them.
    fn choose(words: &'a [String], native: Option<bool>, installed: bool) -> Result<Self, CliError> {
        if native == Some(false) && installed {
            return Ok(Self::OpenSsh);
        }
        let (mut rest, mut wanted) = (words, None);
        while let Some((word, after)) = rest.split_first().filter(|(word, _)| word.starts_with('-')) {
            rest = after;
            match word.as_str() {
                "-t" => wanted = Some(Tty::Ours),
                "-T" => wanted = Some(Tty::Never),
                "--" => break,
                // Also one that has nothing to do with ours.
                "-tt" if native == Some(true) || !installed => wanted = Some(Tty::Ours),
                _ if native == Some(true) => {
                    return Err(CliError::Said {
                        what: format!("`{word}` is an option of OpenSSH's ssh, not of the built-in client"),
                        help: Some("leave out `--native-ssh`, and unset MACHINE_NATIVE_SSH".to_owned()),
                    });
                }
                _ if installed => return Ok(Self::OpenSsh),
                _ => {
                    return Err(CliError::Said {
                        what: format!("`{word}` is an option of OpenSSH's ssh, and there is no `ssh` in the PATH"),
                        help: Some(format!(
                            "install it; or write `--` in front of the command if `{word}` is part of that"
                        )),
                    });
                }
            }
        }
        // As with OpenSSH's: a person gets a terminal, a command gets one only if asked for.
        let usual = if rest.is_empty() { Tty::Ours } else { Tty::Never };
        Ok(Self::BuiltIn { command: rest, tty: wanted.unwrap_or(usual) })
    }
}

async fn session(login: &mut Login<'_>, command: Option<&Sh>, tty: Tty) -> Result<i32, CliError> {
    login.check(DOING).await?;
    let session = login.open().await?;
    transport::ssh::interactive(&session, command, tty).await.map_err(CliError::Lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn options_in_front_of_the_command_are_for_ssh() {
        for (line, command, tty) in [
            ("", "", Tty::Ours),
            ("ls -la", "ls -la", Tty::Never),
            ("-- ls", "ls", Tty::Never),
            ("-t htop", "htop", Tty::Ours),
            ("-T", "", Tty::Never),
            ("-t -- -x", "-x", Tty::Ours),
            ("-- -t", "-t", Tty::Never),
        ] {
            for native in [None, Some(true)] {
                let (words, command) = (words(line), words(command));
                let want = Client::BuiltIn { command: &command, tty };
                assert_eq!(Client::choose(&words, native, true).unwrap(), want, "{line}");
            }
        }
    }

    #[test]
    fn options_of_openssh_are_for_openssh() {
        for line in ["-L 8080:localhost:80 -N", "-A", "-C echo foo", "-tt top", "-t -v ls", "-vvv"] {
            let words = words(line);
            assert_eq!(Client::choose(&words, None, true).unwrap(), Client::OpenSsh, "{line}");
            assert_eq!(Client::choose(&words, Some(false), true).unwrap(), Client::OpenSsh, "{line}");
        }
        for (native, installed) in [(Some(true), true), (None, false), (Some(false), false)] {
            assert!(Client::choose(&words("-A"), native, installed).is_err(), "{native:?} {installed}");
        }
    }

    #[test]
    fn what_the_user_says_of_the_client_counts_if_it_can() {
        let words = words("ls");
        let ours = Client::BuiltIn { command: &words, tty: Tty::Never };
        assert_eq!(Client::choose(&words, Some(false), true).unwrap(), Client::OpenSsh);
        assert_eq!(Client::choose(&words, Some(false), false).unwrap(), ours);
        assert_eq!(Client::choose(&words, Some(true), true).unwrap(), ours);
    }
}
