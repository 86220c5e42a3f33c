//! `env`: what points a docker client to a machine, for the shell that reads it.

use super::{
    CliError, Cx, Exit, Group, Out, Run, answer,
    config::{needs_certificates, reachable_url},
    error::NamesError,
    machine::Machine,
    names, parent,
    shell::Shell,
};
use crate::fleet::suggest;

/// Print the commands that point a docker client to a machine
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
pub(super) struct Env {
    /// Point to the swarm master instead of the engine
    #[arg(long)]
    swarm: bool,
    /// bash, zsh, sh, ksh, fish, tcsh, csh, nu, xonsh, powershell, cmd or emacs; default: the shell that calls
    #[arg(long, value_name = "SHELL")]
    shell: Option<String>,
    /// Unset the variables instead
    #[arg(short, long)]
    unset: bool,
    /// Add the machine's address to those that no proxy is used for
    #[arg(long)]
    no_proxy: bool,
    /// Print it as JSON, for programs
    #[arg(long, conflicts_with = "shell")]
    json: bool,
    /// The machine; `default` if none is named
    #[arg(value_name = "NAME")]
    names: Vec<String>,
}

/// Names and values, in the order they are printed; one without a value is unset.
type Variables = Vec<(&'static str, Option<String>)>;

/// In the order they are printed.
const VARIABLES: [&str; 4] = ["DOCKER_TLS_VERIFY", "DOCKER_HOST", "DOCKER_CERT_PATH", "DOCKER_MACHINE_NAME"];

/// Those of them that mean TLS.
const OF_TLS: [&str; 2] = ["DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"];

impl Run for Env {
    const NAME: &'static str = "env";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        // All lines or none: what is evaluated must not be cut off by an error.
        let (machine, variables) = if self.unset { (None, self.unset_variables(cx)?) } else { self.variables(cx)? };
        if self.json {
            let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            answer::print(out, &answer::Env { machine, variables })?;
            return Ok(Exit::Done);
        }
        let shell = self.shell(cx)?;
        let line = |(name, value): (&str, Option<String>)| match value {
            Some(value) => shell.set(name, &value),
            None => Ok(shell.unset(name)),
        };
        let lines = variables.into_iter().map(line).collect::<Result<Vec<_>, _>>()?;
        out.exact(&format!("{}\n{}", lines.join("\n"), shell.hint(&cx.words)))?;
        Ok(Exit::Done)
    }
}

impl Env {
    fn variables(&self, cx: &Cx) -> Result<(Option<String>, Variables), CliError> {
        let world = cx.world()?;
        let machine = Machine::load(&world, &names::one(&world.store, &self.names)?)?;
        let url = cx.block_on(reachable_url(&machine, self.swarm))?;
        let url = url.map_err(|e| e.doing("Error checking TLS connection"))?;
        if !self.json {
            // A shell that is not known is told of before any file is written.
            self.shell(cx)?;
        }
        let dir = cx.machine_dir(machine.name().as_str()).to_string_lossy().into_owned();
        let values = ["1".to_owned(), url.clone(), dir, machine.name().to_string()];
        let mut all = Variables::new();
        // The docker client looks for certificates when it is told to, even if they are of no use.
        let certificates = needs_certificates(cx, &machine, &url)?;
        let needless = |name: &str| !certificates && OF_TLS.contains(&name);
        for (name, value) in VARIABLES.into_iter().zip(values) {
            all.push((name, (!needless(name)).then_some(value)));
        }
        if cfg!(windows) {
            all.push(("COMPOSE_CONVERT_WINDOWS_PATHS", Some("true".to_owned())));
        }
        if self.no_proxy {
            let address = machine.address().map_err(|e| e.doing("Error getting host IP"))?;
            let (name, old) = proxy_variable(cx);
            all.push((name, Some(without_proxy(&old, address))));
        }
        Ok((Some(machine.name().to_string()), all))
    }

    fn unset_variables(&self, cx: &Cx) -> Result<Variables, CliError> {
        if !self.names.is_empty() {
            return Err(CliError::Names(NamesError::Unset));
        }
        let mut all: Variables = VARIABLES.iter().map(|name| (*name, None)).collect();
        if self.no_proxy {
            all.push((proxy_variable(cx).0, None));
        }
        Ok(all)
    }

    /// The shell that reads what we print: the one that was said, or the one that called us.
    fn shell(&self, cx: &Cx) -> Result<Shell, CliError> {
        if let Some(word) = self.shell.as_deref().filter(|word| !word.is_empty()) {
            return match Shell::of(word) {
                // docker-machine knows no paths here, and takes what it does not know for a POSIX shell.
                found if cx.drop_in() => Ok(found.filter(|_| !word.contains('/')).unwrap_or(Shell::Posix)),
                Some(shell) => Ok(shell),
                None => Err(unknown(word)),
            };
        }
        let login = cx.var("SHELL").map(|path| Shell::of(&path).unwrap_or(Shell::Posix));
        // fish, nu and xonsh leave $SHELL as it was, so who called us says more; scripts for docker-machine set $SHELL.
        let found = if cx.drop_in() { login.or_else(parent::shell) } else { parent::shell().or(login) };
        match found {
            Some(shell) => Ok(shell),
            None if cfg!(windows) => Ok(Shell::Cmd),
            // In CI and containers there often is none, and the shell that evaluates our lines is like it.
            None if !cx.drop_in() => Ok(Shell::Posix),
            None => Err(CliError::Said {
                what: "Error: Unknown shell".to_owned(),
                help: Some("say which it is, with `--shell`".to_owned()),
            }),
        }
    }
}

fn unknown(word: &str) -> CliError {
    let help = match suggest::closest(word, Shell::names()) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("it is one of {}", suggest::list(Shell::names())),
    };
    CliError::Said { what: format!("there is no shell `{}`", word.escape_debug()), help: Some(help) }
}

/// The variable in use, and its value.
fn proxy_variable(cx: &Cx) -> (&'static str, String) {
    match cx.var("no_proxy") {
        Some(value) => ("no_proxy", value),
        None => ("NO_PROXY", cx.var("NO_PROXY").unwrap_or_default()),
    }
}

fn without_proxy(old: &str, address: &str) -> String {
    if old.is_empty() {
        address.to_owned()
    } else if old.contains(address) {
        old.to_owned()
    } else {
        format!("{old},{address}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_added_once() {
        for (old, want) in [("", "192.0.2.1"), ("a", "a,192.0.2.1"), ("a,192.0.2.1", "a,192.0.2.1")] {
            assert_eq!(without_proxy(old, "192.0.2.1"), want);
        }
    }
}
