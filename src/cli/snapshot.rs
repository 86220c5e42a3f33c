//! `snapshot`: a machine as it was, kept beside it.

use super::{CliError, Cx, Exit, Group, Out, Run, claim, machine::Machine, names, stored::stored, suggest, table};
use crate::{
    clock::{Clock as _, SystemClock},
    driver::{Snapshot as Kept, SnapshotAction},
    template,
};
use std::io::Write as _;

/// Keep a machine as it is now, or make it what it was
#[derive(clap::Args)]
#[command(
    override_usage = "machine snapshot ls NAME [--json]\n       machine snapshot create NAME [SNAPSHOT]\n       machine snapshot restore NAME SNAPSHOT\n       machine snapshot rm NAME SNAPSHOT",
    after_help = "  ls       list the snapshots of a machine\n  create   make one; of a machine that runs, with its memory\n  restore  make the machine what it was; what came after is lost\n  rm       remove a snapshot\n\nOnly for drivers that can, as qemu."
)]
pub(super) struct Snapshot {
    /// ls, create, restore or rm, a machine, and a snapshot
    #[arg(value_name = "NAME", required = true)]
    words: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Run for Snapshot {
    const NAME: &'static str = "snapshot";
    const GROUP: Group = Group::Machine;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
        let (machine, action) = match words.as_slice() {
            ["ls", machine] => (*machine, SnapshotAction::List),
            ["create", machine] => (*machine, SnapshotAction::Create(dated())),
            ["create", machine, name] => (*machine, SnapshotAction::Create(legal(name)?)),
            ["restore", machine, name] => (*machine, SnapshotAction::Restore(legal(name)?)),
            ["rm", machine, name] => (*machine, SnapshotAction::Rm(legal(name)?)),
            _ => {
                let told = suggest::told(Self::NAME, self.words.first(), &["ls", "create", "restore", "rm"]);
                let help =
                    format!("{told}as in:\n  {0} snapshot ls web-1\n  {0} snapshot create web-1 before", cx.program);
                let what = "`snapshot` takes ls, create, restore or rm, then a machine, then a snapshot".to_owned();
                return Err(CliError::Said { what, help: Some(help) });
            }
        };
        let name = names::parse(machine)?;
        let world = cx.world()?;
        let record = stored(world.store.get(&name))?;
        // Looking disturbs nothing; what changes the machine must not happen in the middle of an apply.
        let _lock =
            if action == SnapshotAction::List { None } else { Some(claim::machines(cx, &world, [&record.name])?) };
        let machine = Machine::load(&world, name.as_str())?;
        let progress = |line: &str| {
            // A closed standard error stops nothing.
            let _ = writeln!(anstream::stderr(), "({name}) {line}");
        };
        let there = cx.block_on(machine.snapshot(&action, &progress))??;
        match &action {
            SnapshotAction::List if self.json => {
                let value = serde_json::to_value(&there).expect("names and dates are plain data");
                out.line(&template::json::document(&value))?;
            }
            SnapshotAction::List => out.text(&listed(&there))?,
            SnapshotAction::Create(snapshot) => out.line(&format!("Made snapshot \"{snapshot}\" of \"{name}\"."))?,
            SnapshotAction::Restore(snapshot) => {
                out.line(&format!("\"{name}\" is again as in snapshot \"{snapshot}\"."))?;
            }
            SnapshotAction::Rm(snapshot) => out.line(&format!("Removed snapshot \"{snapshot}\" of \"{name}\"."))?,
        }
        Ok(Exit::Done)
    }
}

/// A name when none was given.
fn dated() -> String {
    SystemClock.now().to_string().replace(':', "-").trim_end_matches('Z').to_owned()
}

/// A name that no program takes for a number or an option.
fn legal(name: &str) -> Result<String, CliError> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    let good = name.len() <= 63
        && name.bytes().all(plain)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !name.bytes().all(|b| b.is_ascii_digit());
    if good {
        return Ok(name.to_owned());
    }
    Err(CliError::Said {
        what: format!("`{}` is no name for a snapshot", name.escape_default()),
        help: Some("letters, digits, `-`, `_` and `.`; a letter or digit first, and not digits alone".to_owned()),
    })
}

fn listed(snapshots: &[Kept]) -> String {
    let mut lines = "NAME\tMADE\tMEMORY\n".to_owned();
    for Kept { name, made, memory } in snapshots {
        let made = made.map_or_else(|| "-".to_owned(), |at| at.to_string());
        lines.push_str(&format!("{name}\t{made}\t{}\n", if *memory { "yes" } else { "no" }));
    }
    table::aligned(&lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn a_name_is_no_option_and_no_number() {
        for (name, good) in [("before", true), ("v1.2_x-3", true), ("2026-11-21T10-00-00", true), ("12", false)] {
            assert_eq!(legal(name).is_ok(), good, "{name}");
        }
        for bad in ["", "-a", ".a", "a b", "a,b", "ä", &"x".repeat(64)] {
            assert!(legal(bad).is_err(), "{bad}");
        }
        assert!(legal(&dated()).is_ok());
    }

    #[test]
    fn a_list_says_whether_memory_is_in_it() {
        let made = Some(Timestamp(1_795_219_200));
        let all = [("before", made, true), ("x", None, false)];
        let all = all.map(|(name, made, memory)| Kept { name: name.to_owned(), made, memory });
        let want = "NAME     MADE                   MEMORY\nbefore   2026-11-21T00:00:00Z   yes\nx        -                      no\n";
        assert_eq!(listed(&all), want);
    }
}
