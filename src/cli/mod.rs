//! The command line: one file per command, one line per command in [`COMMANDS`].
//!
//! Commands read arguments, call the layers below and write words. They decide nothing about machines. Called
//! by the name `docker-machine`, the program speaks as docker-machine 0.16 does.

mod active;
mod adopt;
mod answer;
mod candidate;
mod claim;
mod complete;
mod completion;
mod config;
mod context;
mod copied;
mod create;
mod debug;
mod descriptors;
mod document;
mod drivers;
mod env;
mod error;
mod exit;
mod export;
mod file;
mod filter;
mod fleet;
mod go;
mod help;
mod history;
mod import;
mod inspect;
mod install;
mod ip;
mod landing;
mod lock;
mod login;
mod look;
mod ls;
mod machine;
mod man;
mod mount;
mod names;
mod operand;
mod out;
mod parent;
mod passphrase;
mod pattern;
mod place;
mod plugin;
mod power;
mod program;
mod prompt;
mod provision;
mod regenerate_certs;
mod rm;
mod rm_hooks;
mod row;
mod scp;
mod shell;
mod signals;
mod snapshot;
mod ssh;
mod ssh_config;
mod status;
mod stored;
mod story;
mod suggest;
mod table;
mod tell;
mod tls_flags;
mod trust;
mod upgrade;
mod url;
mod version;
mod words;
mod world;

use crate::{driver::Drivers, panicked, world::World};
use clap::{Arg, ArgAction, ArgMatches, Args, Command};
use std::{
    ffi::OsString,
    future::Future,
    path::{Component, Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

pub use error::CliError;
pub use exit::Exit;
use out::Out;
use tls_flags::TlsFlags;

/// Where a command stands in `--help`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Group {
    /// Works on all machines of a fleet file.
    Fleet,
    /// Works on machines by name, as docker-machine does.
    Machine,
    /// Is about this program and the shell it is called from.
    Shell,
}

/// A command: its arguments, and what it does with them. The first line of the type's doc comment is its help.
trait Run: Args {
    /// What is typed.
    const NAME: &'static str;
    /// Where help lists it.
    const GROUP: Group;
    /// Does it.
    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError>;
}

/// A [`Run`] without its type.
struct Entry {
    name: &'static str,
    group: Group,
    define: fn(Command) -> Command,
    run: fn(&ArgMatches, &Cx, &mut Out) -> Result<Exit, CliError>,
}

impl Entry {
    const fn of<C: Run>() -> Self {
        Self { name: C::NAME, group: C::GROUP, define: C::augment_args, run: run::<C> }
    }

    fn command(&self) -> Command {
        (self.define)(Command::new(self.name)).disable_version_flag(true)
    }
}

fn run<C: Run>(matches: &ArgMatches, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
    C::from_arg_matches(matches).map_err(CliError::Usage)?.run(cx, out)
}

/// Every command, in the order help lists them. A command is one file and one line here.
const COMMANDS: &[Entry] = &[
    Entry::of::<fleet::validate::Validate>(),
    Entry::of::<fleet::plan::Plan>(),
    Entry::of::<fleet::diff::Diff>(),
    Entry::of::<fleet::apply::Apply>(),
    Entry::of::<fleet::drift::Drift>(),
    Entry::of::<fleet::destroy::Destroy>(),
    Entry::of::<history::History>(),
    Entry::of::<lock::Lock>(),
    Entry::of::<fleet::graph::Graph>(),
    Entry::of::<fleet::fmt::Fmt>(),
    Entry::of::<fleet::schema::Schema>(),
    Entry::of::<drivers::DriversCommand>(),
    Entry::of::<active::Active>(),
    Entry::of::<adopt::Adopt>(),
    Entry::of::<config::Config>(),
    Entry::of::<context::Context>(),
    Entry::of::<create::Create>(),
    Entry::of::<env::Env>(),
    Entry::of::<export::Export>(),
    Entry::of::<import::Import>(),
    Entry::of::<inspect::Inspect>(),
    Entry::of::<ip::Ip>(),
    Entry::of::<power::Kill>(),
    Entry::of::<ls::Ls>(),
    Entry::of::<mount::Mount>(),
    Entry::of::<provision::Provision>(),
    Entry::of::<regenerate_certs::RegenerateCerts>(),
    Entry::of::<power::Restart>(),
    Entry::of::<rm::Rm>(),
    Entry::of::<scp::Scp>(),
    Entry::of::<snapshot::Snapshot>(),
    Entry::of::<ssh::Ssh>(),
    Entry::of::<ssh_config::SshConfig>(),
    Entry::of::<power::Start>(),
    Entry::of::<status::Status>(),
    Entry::of::<power::Stop>(),
    Entry::of::<trust::Trust>(),
    Entry::of::<upgrade::Upgrade>(),
    Entry::of::<url::Url>(),
    Entry::of::<version::Version>(),
    Entry::of::<help::Help>(),
    Entry::of::<complete::Complete>(),
    Entry::of::<completion::Completion>(),
    Entry::of::<completion::ShellInit>(),
    Entry::of::<install::Install>(),
    Entry::of::<man::Man>(),
];

/// What every command is given: how the program was called, and from where.
struct Cx {
    /// Base name of the program, as `machine` or `docker-machine`.
    program: String,
    /// The command, as `apply`: what others are told of us. Its words may hold secrets.
    command: &'static str,
    /// All words of the command line, the program first. Only for this terminal: they are never kept or passed on.
    words: Vec<String>,
    /// Whether to tell what is asked of hosts and engines.
    debug: bool,
    /// What machines can be made with.
    drivers: Drivers,
    /// Root of the store, as given: a relative path stays relative.
    storage: PathBuf,
    /// Where certificates lie, if not in the store.
    tls: TlsFlags,
    /// Whether the built-in SSH client is to be used, if it was said.
    native_ssh: Option<bool>,
    /// How long to wait for locks.
    lock_timeout: Duration,
}

impl Cx {
    /// Whether we stand in for docker-machine and must speak as it does.
    fn drop_in(&self) -> bool {
        drop_in(&self.program)
    }

    /// A variable of the environment. An empty one counts as unset, as docker-machine has it.
    #[expect(clippy::unused_self, reason = "the environment is part of how the program was called")]
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok().filter(|value| !value.is_empty())
    }

    /// Everything outside.
    fn world(&self) -> Result<World, CliError> {
        Ok(debug::traced(self, world::open(&self.storage, &self.drivers)?))
    }

    /// Keeps docker's contexts in step, for those who use them.
    #[expect(clippy::unused_self, reason = "only a command that was given its context may reach out")]
    fn keep_contexts(&self, world: &World) {
        // What could not be done is done by the next command.
        let _ = stored::settled(crate::context::sync_if_used(world));
    }

    /// What async work runs on. The only place in the program where async begins.
    #[expect(clippy::unused_self, reason = "only a command that was given its context may reach out")]
    fn runtime(&self) -> Result<tokio::runtime::Runtime, CliError> {
        descriptors::raise();
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(CliError::Runtime)
    }

    /// Waits for something outside. A signal that would end a command which only looks cuts off one that changes
    /// something: what it has started here ends with it, its locks are given back.
    fn block_on<T>(&self, work: impl Future<Output = T>) -> Result<T, CliError> {
        if claim::locks(self.command) {
            self.block_on_hearing(signals::unless_ended(work))?
        } else {
            self.block_on_hearing(work)
        }
    }

    /// As [`block_on`](Self::block_on), for work that hears signals itself.
    fn block_on_hearing<T>(&self, work: impl Future<Output = T>) -> Result<T, CliError> {
        let runtime = self.runtime()?;
        let result = runtime.block_on(work);
        // A name that is still being looked up must not hold the program up.
        runtime.shutdown_background();
        Ok(result)
    }

    /// The folder of a machine as docker-machine prints it. It is not made.
    fn machine_dir(&self, name: &str) -> PathBuf {
        self.storage.join("machines").join(name)
    }
}

fn drop_in(program: &str) -> bool {
    program.starts_with("docker-machine")
}

/// The whole program: from the words of the command line to an exit code. `drivers` are all there are in it.
pub fn main(words: impl Iterator<Item = OsString>, drivers: Drivers) -> ExitCode {
    descriptors::keep();
    signals::note();
    panicked::tell_briefly();
    let words: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let program = program(words.first().map_or("machine", String::as_str));
    let mut out = Out::new();
    if let Some(answer) = plugin::metadata(&program, &words) {
        return out.line(&answer).map_or(Exit::Error, |()| Exit::Done).code().into();
    }
    let (program, words) = match plugin::words(&program, &words) {
        Some(words) => (plugin::PROGRAM.to_owned(), words),
        None => (program, words),
    };
    let result = match panicked::caught(|| dispatch(&program, &words, drivers, &mut out)) {
        Ok(result) => result,
        Err(panicked) => Err(CliError::Panicked(panicked)),
    };
    // Best effort: where the words of an error cannot go, its code still does.
    let told = |error: CliError| {
        error.print(drop_in(&program));
        Exit::of(&error)
    };
    let exit = match (result, out.end()) {
        (Ok(Exit::Done), Err(error)) | (Err(error), _) => told(error),
        // What did not end well says so by its code, whether its words were read or not.
        (Ok(exit), _) => exit,
    };
    if drop_in(&program) { exit.code_as_docker_machine() } else { exit.code() }.into()
}

/// Base name of the program, without `.exe`.
fn program(word: &str) -> String {
    let name = Path::new(word).file_stem().map(|name| name.to_string_lossy().into_owned());
    name.filter(|name| !name.is_empty()).unwrap_or_else(|| "machine".to_owned())
}

fn dispatch(program: &str, words: &[String], drivers: Drivers, out: &mut Out) -> Result<Exit, CliError> {
    let root = root_for(program, words, &drivers);
    let matches = match root.clone().try_get_matches_from(words::normal(&root, words)?) {
        Ok(matches) => matches,
        Err(error) if !error.use_stderr() => {
            out.text(&error.render().ansi().to_string())?;
            return Ok(Exit::Done);
        }
        Err(error) => return Err(help::usage(error, program, words)),
    };
    let entry = matches.subcommand().map(|(name, matches)| {
        let entry = COMMANDS.iter().find(|entry| entry.name == name);
        (entry.expect("clap knows only commands of the table"), matches)
    });
    let storage = matches.get_one::<String>("storage-path").filter(|path| !path.is_empty()).map(PathBuf::from);
    let cx = Cx {
        program: program.to_owned(),
        command: entry.map_or(help::Help::NAME, |(entry, _)| entry.name),
        words: words.to_vec(),
        debug: debug::wanted(matches.get_flag("debug"))?,
        drivers,
        storage: plain(&storage.map_or_else(default_storage, Ok)?),
        tls: TlsFlags::read(&matches)?,
        native_ssh: native_ssh(&matches),
        lock_timeout: claim::timeout(&matches)?,
    };
    if claim::locks(cx.command) {
        // What is begun is brought to its end, whether its words are read or not.
        out.go_on();
    }
    let Some((entry, matches)) = entry else {
        out.text(&root.clone().render_help().ansi().to_string())?;
        return Ok(Exit::Done);
    };
    (entry.run)(matches, &cx, out)
}

/// Flags that docker-machine has not are taken under its name, too, and not shown there.
fn without_new_flags(command: Command) -> Command {
    match command.get_name() {
        rm::Rm::NAME => command.mut_arg("tombstone", |arg| arg.hide(true)),
        ls::Ls::NAME => command.mut_arg("tombstones", |arg| arg.hide(true)),
        regenerate_certs::RegenerateCerts::NAME => command.mut_arg("new_authority", |arg| arg.hide(true)),
        _ => command,
    }
}

/// What the command line says of the SSH client, else the environment; there, a word that says neither is passed over.
fn native_ssh(matches: &ArgMatches) -> Option<bool> {
    let given = matches.get_one::<String>("native-ssh").cloned();
    given.or_else(|| std::env::var("MACHINE_NATIVE_SSH").ok()).and_then(|word| words::truth(&word))
}

/// The store, when no option says where it is.
fn default_storage() -> Result<PathBuf, CliError> {
    if let Some(path) = std::env::var_os("MACHINE_STORAGE_PATH").filter(|path| !path.is_empty()) {
        return Ok(path.into());
    }
    let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).ok_or(CliError::NoHome)?;
    Ok(home.join(".docker").join("machine"))
}

/// A path without `.` in it. `..` stays: behind a symbolic link it means another folder than it seems.
fn plain(path: &Path) -> PathBuf {
    let plain: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    if plain.as_os_str().is_empty() { path.to_owned() } else { plain }
}

/// The program's options and commands.
fn root(program: &str, drivers: &Drivers) -> Command {
    root_for(program, &[], drivers)
}

/// As [`root`], with the flags in `create`'s help that these words ask for.
fn root_for(program: &str, words: &[String], drivers: &Drivers) -> Command {
    let given = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    // Options that docker-machine has and that mean nothing here are taken, so that scripts go on working.
    let ignored = |name: &'static str| Arg::new(name).long(name).hide(true);
    let root = Command::new(program.to_owned())
        .about("Turns a list of hosts into running, reachable, kept-up-to-date Docker hosts")
        .version(version::phrase(program))
        .override_usage(format!("{program} [OPTIONS] COMMAND [arg...]"))
        .disable_help_subcommand(true)
        .disable_version_flag(true)
        .subcommand_required(false)
        .args_override_self(true)
        .help_template(help::template(program))
        .arg(
            given("storage-path", "DIR", "Where machines are recorded [$MACHINE_STORAGE_PATH, else ~/.docker/machine]")
                .short('s'),
        )
        .arg(
            Arg::new("debug")
                .long("debug")
                .short('D')
                .action(ArgAction::SetTrue)
                .help("Tell on standard error what is asked of hosts and engines [$MACHINE_DEBUG]"),
        )
        .arg(
            ignored("native-ssh")
                .hide(!drop_in(program))
                .help("Use the built-in SSH client, also where OpenSSH would be asked [$MACHINE_NATIVE_SSH]")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(["true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE", "True", "False"]),
        )
        .args(TlsFlags::args())
        .args(["github-api-token", "bugsnag-api-token"].map(ignored))
        .arg(Arg::new("version").long("version").short('v').action(ArgAction::Version).help("Print the version"))
        .subcommands(
            COMMANDS
                .iter()
                .map(Entry::command)
                .map(|command| match command.get_name() {
                    create::Create::NAME => create::with_flags(command, words, drivers),
                    _ => command,
                })
                .map(|command| claim::define(command, drop_in(program)))
                .map(
                    |command| {
                        if drop_in(program) { help::as_docker_machine(without_new_flags(command)) } else { command }
                    },
                ),
        );
    if drop_in(program) { help::program_as_docker_machine(root) } else { root }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_command_line_is_sound() {
        root("machine", &Drivers::built_in()).debug_assert();
    }

    #[test]
    fn every_command_has_one_name_and_one_line_of_help() {
        let names: BTreeSet<_> = COMMANDS.iter().map(|entry| entry.name).collect();
        assert_eq!(names.len(), COMMANDS.len());
        for entry in COMMANDS {
            let about = entry.command().get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains('\n') && !about.ends_with('.'), "{}: {about}", entry.name);
        }
    }

    #[test]
    fn the_program_is_called_what_it_was_called() {
        for (word, want) in [
            ("machine", "machine"),
            ("/usr/bin/docker-machine", "docker-machine"),
            ("./docker-machine.exe", "docker-machine"),
            ("", "machine"),
        ] {
            assert_eq!(program(word), want, "{word}");
        }
    }
}
