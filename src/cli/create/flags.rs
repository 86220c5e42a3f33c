//! The flags of `create`: those of all drivers, and each driver's own from its table of options.
//!
//! All drivers' flags are always known, so that a flag of another driver is met with its name; help shows
//! those of the driver that is asked for. A flag that is not given is taken from its variable, as
//! docker-machine has it: an empty variable counts as unset, a list is split at commas, and what the command
//! line adds comes after it.

use crate::{
    cli::{CliError, Cx, world},
    driver::{AnyDriver, Drivers, Kind, OptionProblem, OptionSpec, Secrecy, options},
    record::OptionValues,
    secret::Secret,
};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Value, json};

/// docker-machine's default, which few mean today; it is named in the error when no driver is given.
pub(super) const DEFAULT_DRIVER: &str = "virtualbox";
/// Stands for "as this program does it": docker-machine's default script is not run.
pub(super) const DEFAULT_INSTALL_URL: &str = "https://get.docker.com";

/// What a flag takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Takes {
    Text(&'static str),
    List,
    Nothing,
}

/// A flag of all drivers.
struct Shared {
    name: &'static str,
    takes: Takes,
    env: &'static str,
    help: &'static str,
}

const fn flag(name: &'static str, takes: Takes, env: &'static str, help: &'static str) -> Shared {
    Shared { name, takes, env, help }
}

const DRIVER: &str = "driver";

const SHARED: &[Shared] = &[
    flag(DRIVER, Takes::Text(DEFAULT_DRIVER), "MACHINE_DRIVER", "Driver that makes the machine"),
    flag("engine-env", Takes::List, "", "Variable of the engine's environment, as KEY=VALUE"),
    flag("engine-insecure-registry", Takes::List, "", "Registry that may be spoken to without TLS"),
    flag(
        "engine-install-url",
        Takes::Text(DEFAULT_INSTALL_URL),
        "MACHINE_DOCKER_INSTALL_URL",
        "Script that installs the engine; none: it is there; default: the distribution's package",
    ),
    flag("engine-label", Takes::List, "", "Label of the engine, as KEY=VALUE"),
    flag("engine-opt", Takes::List, "", "Option of the engine, as flag=value"),
    flag("engine-registry-mirror", Takes::List, "ENGINE_REGISTRY_MIRROR", "Mirror of the public registry"),
    flag("engine-storage-driver", Takes::Text(""), "", "Storage driver of the engine"),
    flag("swarm", Takes::Nothing, "", "Recorded only: classic swarm has ended"),
    flag("swarm-addr", Takes::Text(""), "", "Recorded only: address in a classic swarm"),
    flag("swarm-discovery", Takes::Text(""), "", "Recorded only: discovery of a classic swarm"),
    flag("swarm-experimental", Takes::Nothing, "", "Recorded only: experimental features of a classic swarm"),
    flag("swarm-host", Takes::Text("tcp://0.0.0.0:3376"), "", "Recorded only: where a classic swarm's master listens"),
    flag("swarm-image", Takes::Text("swarm:latest"), "MACHINE_SWARM_IMAGE", "Recorded only: image of classic swarm"),
    flag("swarm-join-opt", Takes::List, "", "Recorded only: option of a classic swarm's agent"),
    flag("swarm-master", Takes::Nothing, "", "Recorded only: master of a classic swarm"),
    flag("swarm-opt", Takes::List, "", "Recorded only: option of a classic swarm's master"),
    flag("swarm-strategy", Takes::Text("spread"), "", "Recorded only: strategy of a classic swarm"),
    flag("tls-san", Takes::List, "", "Further name or address in the engine's certificate"),
];

/// Adds all flags to the command; those of drivers are hidden until [`show`] finds one.
pub(super) fn define(command: Command, drivers: &Drivers) -> Command {
    let shared = SHARED.iter().map(|shared| {
        let arg = with_value(Arg::new(shared.name).long(shared.name), shared.takes, shared.name);
        let arg = if shared.name == DRIVER { arg.short('d') } else { arg };
        let default = match shared.takes {
            Takes::Text(text) if !text.is_empty() => text,
            _ => "",
        };
        arg.help(told(shared.help, default, shared.env))
    });
    let own = drivers.iter().flat_map(AnyDriver::options).map(|spec| {
        let takes = match spec.kind {
            Kind::Flag => Takes::Nothing,
            Kind::List => Takes::List,
            Kind::Text | Kind::Path | Kind::Number | Kind::Port | Kind::Size => Takes::Text(""),
        };
        // Completion offers files where help says so.
        let of = if spec.kind == Kind::Path { "file" } else { &spec.key };
        let arg = with_value(Arg::new(spec.flag.clone()).long(spec.flag.clone()), takes, of);
        let default = match (spec.default.as_deref(), spec.fallback.as_deref()) {
            // Which of the two it is depends on the name we are called by; its help says so.
            (Some(_), Some(_)) => None,
            (default, fallback) => default.or(fallback),
        };
        arg.help(told(&capital(&spec.help), default.unwrap_or_default(), &spec.env)).hide(true)
    });
    command.args(shared).args(own)
}

fn with_value(arg: Arg, takes: Takes, of: &str) -> Arg {
    let name = of.rsplit('-').next().unwrap_or(of).to_uppercase();
    match takes {
        Takes::Text(_) => arg.value_name(name),
        Takes::List => arg.value_name(name).action(ArgAction::Append),
        Takes::Nothing => arg.action(ArgAction::SetTrue),
    }
}

fn told(help: &str, default: &str, env: &str) -> String {
    let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
    let env = if env.is_empty() { String::new() } else { format!(" [${env}]") };
    format!("{help}{default}{env}")
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map_or_else(String::new, |first| first.to_uppercase().chain(rest).collect())
}

/// Lets help show the flags of the driver that the words ask for.
pub(super) fn show(command: Command, words: &[String], drivers: &Drivers) -> Command {
    let mut asked = std::env::var("MACHINE_DRIVER").ok();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(flag) = word.strip_prefix('-').map(|rest| rest.strip_prefix('-').unwrap_or(rest)) else { continue };
        match flag.split_once('=') {
            Some(("d" | DRIVER, value)) => asked = Some(value.to_owned()),
            None if flag == "d" || flag == DRIVER => asked = words.next().cloned().or(asked),
            _ => {}
        }
    }
    // Without a word it is the one that will be used.
    let asked = asked.filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_DRIVER.to_owned());
    let Some(driver) = drivers.get(&asked) else { return command };
    driver.options().iter().fold(command, |command, spec| command.mut_arg(&spec.flag, |arg| arg.hide(false)))
}

/// The flags as they were given, completed from the environment.
pub(super) struct Given<'a> {
    matches: &'a ArgMatches,
    cx: &'a Cx,
}

impl<'a> Given<'a> {
    pub(super) fn new(matches: &'a ArgMatches, cx: &'a Cx) -> Self {
        Self { matches, cx }
    }

    fn shared(name: &str) -> &'static Shared {
        SHARED.iter().find(|shared| shared.name == name).expect("only flags of the table are asked for")
    }

    /// A text; without one, its default.
    pub(super) fn text(&self, name: &str) -> String {
        let shared = Self::shared(name);
        let given = self.matches.get_one::<String>(name).cloned().or_else(|| self.var(shared.env));
        given.unwrap_or_else(|| match shared.takes {
            Takes::Text(default) => default.to_owned(),
            Takes::List | Takes::Nothing => String::new(),
        })
    }

    /// A list.
    pub(super) fn list(&self, name: &str) -> Vec<String> {
        self.all(name, Self::shared(name).env)
    }

    /// A switch.
    pub(super) fn switch(&self, name: &str) -> bool {
        self.matches.get_flag(name)
    }

    fn var(&self, env: &str) -> Option<String> {
        if env.is_empty() { None } else { self.cx.var(env) }
    }

    fn all(&self, name: &str, env: &str) -> Vec<String> {
        let from_env = self.var(env).unwrap_or_default();
        let from_env = from_env.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned);
        from_env.chain(self.matches.get_many::<String>(name).into_iter().flatten().cloned()).collect()
    }

    /// The driver.
    pub(super) fn driver(&self) -> Result<&'a dyn AnyDriver, CliError> {
        let name = Some(self.text(DRIVER)).filter(|name| !name.is_empty()).unwrap_or_else(|| DEFAULT_DRIVER.to_owned());
        self.cx.drivers.get(&name).ok_or_else(|| {
            let known: Vec<&str> = self.cx.drivers.names().collect();
            let plugin = format!("docker-machine-driver-{name}");
            CliError::Said {
                what: format!(
                    "Driver {name:?} not found. Do you have the plugin binary {plugin:?} accessible in your PATH?"
                ),
                help: Some(format!("choose one with `--driver`: {}", known.join(", "))),
            }
        })
    }

    /// The driver's options, complete with defaults and checked.
    pub(super) fn options(&self, driver: &dyn AnyDriver) -> Result<OptionValues, CliError> {
        self.refuse_flags_of_others(driver)?;
        let mut values = OptionValues::new();
        for spec in driver.options() {
            if let Some(value) = self.option(spec)? {
                values.insert(spec.key.clone(), value);
            }
        }
        let wrong = |what: String, help: Option<String>| {
            CliError::Said { what, help }.doing("Error setting machine configuration from flags provided")
        };
        let is_there = |spec: &OptionSpec| values.get(&spec.key).is_some_and(|value| value != "");
        let missing = driver.options().iter().find(|spec| spec.required && !is_there(spec));
        if let Some(spec) = missing {
            let what = match driver.name() {
                "none" => format!("--{} option is required when no driver is selected", spec.flag),
                name => format!("{name} driver requires the --{} option", spec.flag),
            };
            let env = if spec.env.is_empty() { String::new() } else { format!(", or set {}", spec.env) };
            return Err(wrong(what, Some(format!("add `--{} …`{env}: {}", spec.flag, spec.help))));
        }
        if self.cx.drop_in() {
            // It never looked anything up, and a set-up that works must not change.
            for spec in driver.options().iter().filter(|spec| !values.contains_key(&spec.key)).collect::<Vec<_>>() {
                values.extend(options::fallback(spec).map(|value| (spec.key.clone(), value)));
            }
        }
        let values = options::with_defaults(driver.options(), &values);
        let placed = |problem: OptionProblem| {
            let flag = driver.options().iter().find(|spec| Some(&spec.key) == problem.key.as_ref());
            let place = flag.map_or(String::new(), |spec| format!("--{}: ", spec.flag));
            (format!("{place}{}", problem.message), problem.help)
        };
        if let Some(problem) = driver.check(&values).into_iter().next() {
            let (what, help) = placed(problem);
            return Err(wrong(what, help));
        }
        for (what, help) in driver.doubts(&values).into_iter().map(placed) {
            CliError::warn(&what, &help.unwrap_or_default());
        }
        Ok(values)
    }

    fn option(&self, spec: &OptionSpec) -> Result<Option<Value>, CliError> {
        if spec.kind == Kind::List {
            let all = self.all(&spec.flag, &spec.env);
            return Ok((!all.is_empty()).then(|| json!(all)));
        }
        if spec.kind == Kind::Flag && self.matches.get_flag(&spec.flag) {
            return Ok(Some(json!(true)));
        }
        let given = (spec.kind != Kind::Flag).then(|| self.matches.get_one::<String>(&spec.flag)).flatten();
        if spec.secrecy == Secrecy::Secret {
            let at = Secret::Env(spec.env.clone());
            if let Some(literal) = given {
                // As scripts for docker-machine do it. It is known for this run only; what is recorded is where the
                // next one looks for it.
                world::secrets().know(at.clone(), literal);
                CliError::warn(
                    &format!("--{}: what is on a command line can be read by all users of this computer.", spec.flag),
                    &format!("set {} instead; later commands that need it look there too", spec.env),
                );
            }
            return Ok((given.is_some() || self.var(&spec.env).is_some()).then(|| at.to_json()));
        }
        let read = |text: String| options::read(spec, &Value::from(text));
        match given {
            Some(text) => read(text.clone()).map(Some).map_err(|why| CliError::Said {
                what: format!("invalid value {text:?} for flag --{}: {why}", spec.flag),
                help: Some(spec.help.clone()),
            }),
            // A variable that makes no sense is as if it were not there, as docker-machine has it for numbers.
            None => Ok(self.var(&spec.env).and_then(|text| read(text).ok())),
        }
    }

    fn refuse_flags_of_others(&self, driver: &dyn AnyDriver) -> Result<(), CliError> {
        let given =
            |spec: &&OptionSpec| self.matches.value_source(&spec.flag) == Some(clap::parser::ValueSource::CommandLine);
        let others = self.cx.drivers.iter().filter(|other| other.name() != driver.name());
        for other in others {
            if let Some(spec) = other.options().iter().find(given) {
                return Err(CliError::Said {
                    what: format!("flag provided but not defined: -{}", spec.flag),
                    help: Some(format!(
                        "it is a flag of driver `{}`, and the machine is to be made by `{}`",
                        other.name(),
                        driver.name()
                    )),
                });
            }
        }
        Ok(())
    }
}

/// What the names of machines are parsed with: anything, so that we say what is wrong with them.
pub(super) fn names() -> Arg {
    Arg::new("NAME").action(ArgAction::Append).help("The machine; letters, digits, `-` and `.`")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn no_two_flags_have_one_name() {
        let drivers = Drivers::built_in();
        let own = drivers.iter().flat_map(AnyDriver::options).map(|spec| spec.flag.as_str());
        let all: Vec<&str> = SHARED.iter().map(|shared| shared.name).chain(own).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    }

    #[test]
    fn help_shows_the_flags_of_the_driver_that_is_asked_for() {
        let drivers = Drivers::built_in();
        for (line, shown) in [
            ("create", None),
            ("create -d generic x", Some("generic-ip-address")),
            ("create --driver=none", Some("url")),
            ("create -driver nspawn", Some("nspawn-image")),
        ] {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let command = show(define(Command::new("create"), &drivers), &words, &drivers);
            let visible = |flag: &str| command.get_arguments().any(|arg| arg.get_id() == flag && !arg.is_hide_set());
            for flag in ["generic-ip-address", "url", "nspawn-image"] {
                assert_eq!(visible(flag), shown == Some(flag), "{line}: {flag}");
            }
        }
    }
}
