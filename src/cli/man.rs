//! `man`: one manual page for each command, from the definitions that help is made of.

use super::{COMMANDS, CliError, Cx, Entry, Exit, Group, Out, Run, exit, file, root};
use crate::driver::Drivers;
use std::{fmt::Write as _, path::PathBuf};

/// What every page of ours has in it, so that none but ours is overwritten.
pub(super) const MARK: &str = r#".\" Made by `machine man`."#;

/// Write the manual pages into a folder
#[derive(clap::Args)]
#[command(hide = true)]
pub(super) struct Man {
    /// The folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

impl Run for Man {
    const NAME: &'static str = "man";
    const GROUP: Group = Group::Shell;

    fn run(self, cx: &Cx, _: &mut Out) -> Result<Exit, CliError> {
        std::fs::create_dir_all(&self.dir).map_err(|e| CliError::Said {
            what: format!("cannot make {}: {e}", self.dir.display()),
            help: Some("check that the folder above it is there and may be written".to_owned()),
        })?;
        for (name, text) in pages(&cx.drivers) {
            file::replace(&self.dir.join(name), text.as_bytes())?;
        }
        Ok(Exit::Done)
    }
}

/// Names and texts of all pages, the program's first.
pub(super) fn pages(drivers: &Drivers) -> Vec<(String, String)> {
    let mut root = root("machine", drivers);
    root.build();
    let commands = COMMANDS.iter().map(Entry::command).filter(|command| !command.is_hide_set());
    let commands: Vec<String> = commands.map(|command| command.get_name().to_owned()).collect();
    let mut pages = vec![("machine.1".to_owned(), page(root.clone(), "machine"))];
    for name in commands {
        let command = root.find_subcommand(&name).expect("it is of the same table").clone();
        pages.push((format!("machine-{name}.1"), page(command, &name)));
    }
    pages
}

fn page(command: clap::Command, name: &str) -> String {
    // What is the same for all commands is said on the program's page only.
    let is_root = name == "machine";
    let man = clap_mangen::Man::new(command).manual("Machine").source(concat!("machine ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    man.render_title(&mut text)
        .and_then(|()| man.render_name_section(&mut text))
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| man.render_options_section(&mut text))
        .and_then(|()| if is_root { man.render_subcommands_section(&mut text) } else { Ok(()) })
        .expect("memory can be written to");
    let mut text = format!("{MARK}\n{}", String::from_utf8(text).expect("pages are made of texts"));
    let examples: Vec<_> =
        EXAMPLES.iter().filter(|(of, ..)| *of == name).map(|(_, line, about)| (*line, *about)).collect();
    section(&mut text, "EXAMPLES", &examples);
    let codes: Vec<_> = exit::TABLE.lines().filter_map(|line| line.trim().split_once(' ')).collect();
    section(&mut text, "EXIT STATUS", &codes);
    section(&mut text, "ENVIRONMENT", if is_root { ENVIRONMENT } else { &ENVIRONMENT[..1] });
    section(&mut text, "FILES", if is_root { FILES } else { &FILES[..1] });
    if !is_root {
        text.push_str(".SH \"SEE ALSO\"\n\\fBmachine\\fR(1)\n");
    }
    ascii(&text)
}

/// groff reads other characters by their names only (`groff_char(7)`).
fn ascii(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            plain.push(c);
        } else {
            let _ = write!(plain, "\\[u{:04X}]", u32::from(c));
        }
    }
    plain
}

fn section(text: &mut String, title: &str, entries: &[(&str, &str)]) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(text, ".SH \"{title}\"");
    for (what, about) in entries {
        let _ = writeln!(text, ".TP\n\\fB{}\\fR\n{}", escaped(what), escaped(about.trim()));
    }
}

/// `groff_char(7)`: what would be an escape, a hyphen or a request.
fn escaped(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq")
        .replace('`', "\\(ga")
        .replace('~', "\\(ti");
    if text.starts_with('.') { format!("\\&{text}") } else { text }
}

/// Command, line, what it does.
const EXAMPLES: &[(&str, &str, &str)] = &[
    ("history", "machine history shop --limit 3", "Show who did what to fleet `shop` lately, and how it ended."),
    ("machine", "machine apply fleet.yaml", "Make the machines of a fleet file, or bring them up to date."),
    ("machine", "eval \"$(machine env web-1)\"", "Point docker to a machine."),
    ("validate", "machine validate fleet.yaml", "Tell all mistakes in a fleet file, with their places."),
    ("plan", "machine plan --detailed-exitcode fleet.yaml", "End with 2 if there is something to do."),
    ("diff", "machine diff fleet.yaml", "Show what differs, as a patch."),
    ("apply", "machine apply --yes fleet.yaml", "Apply without asking."),
    ("drift", "machine drift fleet.yaml", "Show what was changed on the hosts by hand."),
    ("destroy", "machine destroy fleet.yaml", "Remove all machines of the fleet, after a question."),
    ("drivers", "machine drivers", "List what machines can be made with."),
    ("drivers", "machine drivers nspawn", "Show the options of a driver."),
    ("lock", "machine lock ls", "Show who is at work on which fleet."),
    ("lock", "machine lock break shop", "Take the lock of a fleet away from a run that hangs."),
    ("graph", "machine graph --format mermaid fleet.yaml", "Draw the fleet for a Markdown file."),
    ("fmt", "machine fmt fleet.yaml", "Rewrite the file in its usual form."),
    ("fmt", "machine fmt --to kdl fleet.yaml", "Print it in KDL, with its comments."),
    ("plan", "machine plan -f base.yaml -f prod.yaml", "Lay one file over another: later wins, mappings merge."),
    ("schema", "machine schema > fleet.schema.json", "Give an editor the schema of fleet files."),
    ("active", "machine active", "Print the machine that DOCKER_HOST points to."),
    ("config", "docker $(machine config web-1) ps", "Run one docker command on a machine."),
    ("env", "eval \"$(machine env web-1)\"", "Point docker in this shell to a machine."),
    ("env", "machine env --shell nu web-1 | save -f docker-env.nu", "Write what `source docker-env.nu` reads in nu."),
    ("env", "eval \"$(machine env --unset)\"", "Point docker to where it pointed without machines."),
    ("inspect", "machine inspect --format '{{.Driver.IPAddress}}' web-1", "Print one value of the record."),
    ("ip", "machine ip web-1", "Print the address."),
    ("kill", "machine kill web-1", "Switch a machine off at once."),
    ("ls", "machine ls --filter state=Running -q", "Print the names of machines that run."),
    ("restart", "machine restart web-1 web-2", "Restart two machines at the same time."),
    ("rm", "machine rm -y web-1", "Remove a machine without asking."),
    ("snapshot", "machine snapshot create web-1 before", "Keep a machine as it is, to go back to."),
    ("ssh", "machine ssh web-1 -- df -h", "Run a command on a machine."),
    ("start", "machine start web-1", "Start a machine and wait for it."),
    ("status", "machine status web-1", "Print Running, Stopped or another state."),
    ("stop", "machine stop web-1", "Stop a machine and wait for it."),
    ("trust", "machine trust web-1", "Take over the new host key after a reinstallation."),
    ("url", "docker -H \"$(machine url web-1)\" version", "Use the URL of the engine."),
    ("version", "machine version web-1", "Print the version of the engine."),
    ("help", "machine help env", "Print the help of one command."),
    ("completion", "eval \"$(machine completion bash)\"", "Complete commands and names in this shell."),
    ("shell-init", "eval \"$(machine shell-init bash)\"", "In ~/.bashrc: completion, `machine use` and the prompt."),
    ("install", "machine install --docker-plugin --completion --man", "Make `docker machine` work, and help with it."),
];

const ENVIRONMENT: &[(&str, &str)] = &[
    ("MACHINE_STORAGE_PATH", "Where machines are recorded, unless --storage-path says so."),
    ("MACHINE_LOCK_TIMEOUT", "How long to wait for another run, unless --lock-timeout says so."),
    ("DOCKER_HOST", "What ls and active compare with, to tell the active machine."),
    ("SHELL", "The shell that env writes for, unless --shell or the calling process says so."),
    ("no_proxy, NO_PROXY", "What env --no-proxy adds to."),
    ("DOCKER_MACHINE_NAME", "Set by env; shown by __docker_machine_ps1."),
    ("DOCKER_MACHINE_PS1_SHOWSTATUS", "If true, __docker_machine_ps1 shows the state as well."),
    ("DOCKER_MACHINE_WRAPPED", "If set to anything but true, shell-init leaves `use` away."),
];

const FILES: &[(&str, &str)] = &[
    ("~/.docker/machine", "Records, keys and certificates of machines."),
    ("fleet.yaml", "The fleet file that commands take when none is named."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_an_example() {
        let pages = pages(&Drivers::built_in());
        assert!(pages.len() > 20);
        for (name, text) in pages {
            for title in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES"] {
                assert!(
                    text.contains(&format!(".SH {title}\n")) || text.contains(&format!(".SH \"{title}\"\n")),
                    "{name}: {title}"
                );
            }
        }
        for (of, ..) in EXAMPLES {
            assert!(*of == "machine" || COMMANDS.iter().any(|entry| entry.name == *of), "{of} is no command");
        }
    }
}
