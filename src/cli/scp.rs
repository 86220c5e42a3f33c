//! `scp`: copies files to, from and between machines, with OpenSSH's `scp` or with `rsync`.

use super::{
    CliError, Cx, Exit, Group, Out, Run, help,
    landing::Landing,
    login::{Config, Login},
    machine::Machine,
    names,
    operand::Operand,
    program::Program,
    stored::stored,
};
use crate::world::World;
use std::{collections::BTreeMap, ffi::OsString, io::Write as _, path::Path};

/// Copy files to, from and between machines
#[derive(clap::Args)]
#[command(after_help = "\
A PATH is one of this computer, or [user@]machine:path. A local path with a colon is written ./a:b or localhost:a:b. \
Wildcards in a path on a machine are expanded there; write a backslash in front of one that is part of a name.")]
pub(super) struct Scp {
    /// Copy folders with all that is in them
    #[arg(short, long)]
    recursive: bool,
    /// Send only what differs, with rsync
    #[arg(short, long)]
    delta: bool,
    /// No progress, and no remarks of ssh
    #[arg(short, long)]
    quiet: bool,
    /// From where, and to where
    #[arg(value_name = "PATH")]
    operands: Vec<String>,
}

impl Run for Scp {
    const NAME: &'static str = "scp";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let [from, to] = self.operands.as_slice() else {
            return help::improper(cx, out, Self::NAME);
        };
        let program = if self.delta {
            needed(cx, "rsync", "You must have a copy of the rsync binary locally to use the --delta option")?
        } else {
            needed(cx, "scp", "You must have a copy of the scp binary locally to use the scp feature")?
        };
        let world = cx.world()?;
        let is_machine = |name: &str| names::parse(name).is_ok_and(|name| stored(world.store.get(&name)).is_ok());
        let [from, to] = [from, to].map(|text| Operand::parse(text, cfg!(windows), is_machine));
        if self.delta && from.machine().is_some() && to.machine().is_some() {
            return Err(CliError::Said {
                what: "rsync cannot copy from one machine to another".to_owned(),
                help: Some("leave out `--delta`, or copy through a folder of this computer".to_owned()),
            });
        }
        out.flush()?;
        let exit = cx.block_on(self.copy(cx, &world, &program, &from, &to))??;
        // What scp ends with says no more than that it failed; scripts of docker-machine's know 1 for that.
        Ok(match exit {
            Exit::Remote(1..) if cx.drop_in() => Exit::Error,
            exit => exit,
        })
    }
}

impl Scp {
    async fn copy(
        &self,
        cx: &Cx,
        world: &World,
        program: &Program,
        from: &Operand,
        to: &Operand,
    ) -> Result<Exit, CliError> {
        let mut logins = BTreeMap::new();
        for name in [from, to].into_iter().filter_map(Operand::machine) {
            let machine = Machine::load(world, name).map_err(|e| e.doing("Error loading host"))?;
            logins.insert(name.to_owned(), Login::of(cx, world, machine)?);
        }
        // What can be known beforehand is wrong with either is said before anything is done.
        for login in logins.values() {
            login.check("Cannot copy files").await?;
        }
        let mut configs = Vec::new();
        for login in logins.values_mut() {
            configs.push(login.config().await?);
        }
        let both = (configs.len() > 1).then(|| together(&configs)).transpose()?;
        let config = both.as_ref().map(tempfile::NamedTempFile::path).or(configs.first().map(|c| c.path.as_path()));
        if self.delta {
            return program.run(self.rsync_words(config, from, to)).await;
        }
        // A tree is written where it belongs: one file that cannot be read must not cost all others.
        let landing = match (from, to) {
            (Operand::Remote { .. }, Operand::Local(path)) if !self.recursive => Landing::beside(Path::new(path)),
            _ => None,
        };
        let to = landing.as_ref().map_or_else(|| to.word().into(), Landing::word);
        let exit = program.run(self.scp_words(config, from, to)).await?;
        if let (Exit::Done, Some(landing)) = (exit, landing) {
            landing.settle()?;
        }
        Ok(exit)
    }

    fn scp_words(&self, config: Option<&Path>, from: &Operand, to: OsString) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        if let Some(config) = config {
            words.extend(["-F".into(), config.into()]);
        }
        words.extend(["-o", "LogLevel=ERROR", "-3"].map(OsString::from));
        words.extend(self.recursive.then(|| "-r".into()));
        words.extend(self.quiet.then(|| "-q".into()));
        words.extend(["--".into(), from.word().into(), to]);
        words
    }

    fn rsync_words(&self, config: Option<&Path>, from: &Operand, to: &Operand) -> Vec<OsString> {
        let mut words: Vec<OsString> = Vec::new();
        words.extend((!self.quiet).then(|| "--progress".into()));
        if let Some(config) = config {
            words.extend(["-e".into(), rsync_shell(&config.to_string_lossy()).into()]);
        }
        words.extend(self.recursive.then(|| "-r".into()));
        words.extend(["--".into(), rsync_word(from).into(), rsync_word(to).into()]);
        words
    }
}

/// The ssh that rsync is to use. It splits the text at blanks; in single quotes two of them are one (rsync(1), `-e`).
fn rsync_shell(config: &str) -> String {
    format!("ssh -F '{}' -o LogLevel=ERROR", config.replace('\'', "''"))
}

/// Two colons would be a module of an rsync server.
fn rsync_word(operand: &Operand) -> String {
    match operand {
        Operand::Remote { user, machine, path } if path.starts_with(':') => {
            Operand::Remote { user: user.clone(), machine: machine.clone(), path: format!("./{path}") }.word()
        }
        other => other.word(),
    }
}

/// One file for several machines; it goes when the copy is made.
fn together(configs: &[Config]) -> Result<tempfile::NamedTempFile, CliError> {
    let failed = |e: std::io::Error| CliError::said(format!("cannot write a file for scp: {e}"));
    let mut file = tempfile::Builder::new().prefix("machine-ssh-").tempfile().map_err(failed)?;
    for config in configs {
        file.write_all(config.text.as_bytes()).map_err(failed)?;
    }
    Ok(file)
}

/// A program without which there is nothing to be done.
pub(super) fn needed(cx: &Cx, name: &str, without: &str) -> Result<Program, CliError> {
    Program::find(cx, name).ok_or_else(|| CliError::Said {
        what: without.to_owned(),
        help: Some(format!("install `{name}`, or put it in the PATH")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rsync_is_told_of_paths_as_it_reads_them() {
        assert_eq!(rsync_shell("/a b/it's"), "ssh -F '/a b/it''s' -o LogLevel=ERROR");
        let operand = |text| Operand::parse(text, false, |_| false);
        assert_eq!(rsync_word(&operand("me@web::x")), "me@web:./:x");
        assert_eq!(rsync_word(&operand("web:x")), "web:x");
    }
}
