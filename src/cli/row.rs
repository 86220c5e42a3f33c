//! One line of `ls`: what a look at a machine found, as a table, a template or a program has it.

use super::document::Document;
use crate::{
    record::MachineRecord,
    template::value::{Named, Value},
};
use serde_json::{Value as Json, json};
use std::{rc::Rc, time::Duration};

/// What is known of a machine after a look at it.
#[derive(Debug, Default)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) state: State,
    pub(super) driver: String,
    pub(super) active: Active,
    pub(super) url: String,
    pub(super) swarm: String,
    pub(super) docker: String,
    pub(super) error: String,
    pub(super) fleet: Option<String>,
    pub(super) response: Duration,
    /// `HostOptions` of docker-machine's document, `null` when that cannot be read.
    pub(super) options: Json,
}

/// Whether the docker client speaks to it now.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum Active {
    #[default]
    Unknown,
    No,
    Host,
    Swarm,
}

impl Active {
    fn text(self) -> &'static str {
        match self {
            Self::Unknown => "",
            Self::No => "-",
            Self::Host => "*",
            Self::Swarm => "* (swarm)",
        }
    }
}

/// How a machine is, with docker-machine's numbers.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) enum State {
    #[default]
    None = 0,
    Running = 1,
    Paused = 2,
    Saved = 3,
    Stopped = 4,
    Stopping = 5,
    Starting = 6,
    Error = 7,
    /// It did not answer in time.
    Timeout = 8,
    NotFound = 9,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Running => "Running",
            Self::Paused => "Paused",
            Self::Saved => "Saved",
            Self::Stopped => "Stopped",
            Self::Stopping => "Stopping",
            Self::Starting => "Starting",
            Self::Error => "Error",
            Self::Timeout => "Timeout",
            Self::NotFound => "Not Found",
        }
    }
}

/// Text of others, so that it cannot break a table.
pub(super) fn one_line(text: &str) -> String {
    crate::excerpt::line(&text.replace('\n', "").replace(|c: char| c.is_control(), " ")).into_owned()
}

/// What a field of docker-machine's options is.
#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Int,
    Text,
    Texts,
}

/// The fields of docker-machine's `swarm.Options`, in its order.
const SWARM: [(&str, Kind); 14] = [
    ("IsSwarm", Kind::Bool),
    ("Address", Kind::Text),
    ("Discovery", Kind::Text),
    ("Agent", Kind::Bool),
    ("Master", Kind::Bool),
    ("Host", Kind::Text),
    ("Image", Kind::Text),
    ("Strategy", Kind::Text),
    ("Heartbeat", Kind::Int),
    ("Overcommit", Kind::Int),
    ("ArbitraryFlags", Kind::Texts),
    ("ArbitraryJoinFlags", Kind::Texts),
    ("Env", Kind::Texts),
    ("IsExperimental", Kind::Bool),
];

/// The fields of docker-machine's `engine.Options`, in its order.
const ENGINE: [(&str, Kind); 13] = [
    ("ArbitraryFlags", Kind::Texts),
    ("Dns", Kind::Texts),
    ("GraphDir", Kind::Text),
    ("Env", Kind::Texts),
    ("Ipv6", Kind::Bool),
    ("InsecureRegistry", Kind::Texts),
    ("Labels", Kind::Texts),
    ("LogLevel", Kind::Text),
    ("StorageDriver", Kind::Text),
    ("SelinuxEnabled", Kind::Bool),
    ("TLSVerify", Kind::Bool),
    ("RegistryMirror", Kind::Texts),
    ("InstallURL", Kind::Text),
];

/// Options of a document as a pointer to docker-machine's structure; nil when there are none.
fn options(name: &'static str, fields: &[(&'static str, Kind)], document: &Json) -> Value {
    let value = |key: &str, kind| {
        // The one field whose name in Go is not its name in JSON.
        let found = &document[if key == "TLSVerify" { "TlsVerify" } else { key }];
        match kind {
            Kind::Bool => Value::Bool(found.as_bool().unwrap_or_default()),
            Kind::Int => Value::Int(found.as_i64().unwrap_or_default()),
            Kind::Text => Value::text(found.as_str().unwrap_or_default()),
            Kind::Texts => Value::texts(found.as_array().into_iter().flatten().filter_map(Json::as_str)),
        }
    };
    let fields = fields.iter().map(|(key, kind)| (*key, value(key, *kind))).collect();
    Value::pointer(name, document.is_object().then_some(fields))
}

/// A duration as Go prints it, to the millisecond: `19ms`, `1.5s`, `1m0s`.
fn duration(length: Duration) -> Value {
    let milliseconds = u64::try_from((length.as_micros() + 500) / 1000).unwrap_or(u64::MAX);
    let (seconds, rest) = (milliseconds / 1000, milliseconds % 1000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:03}").trim_end_matches('0').to_owned() };
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    let text = match (hours, minutes, seconds) {
        (0, 0, 0) if rest > 0 => format!("{rest}ms"),
        (0, 0, _) => format!("{seconds}{fraction}s"),
        (0, _, _) => format!("{minutes}m{}{fraction}s", seconds % 60),
        _ => format!("{hours}h{minutes}m{}{fraction}s", seconds % 60),
    };
    let exact = Duration::from_millis(milliseconds).as_secs_f64();
    let whole = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
    Value::Named(Rc::new(Named {
        name: "time.Duration",
        number: i64::try_from(milliseconds).unwrap_or(i64::MAX).saturating_mul(1_000_000),
        text,
        methods: vec![
            ("Hours", Value::Float(exact / 3600.0)),
            ("Minutes", Value::Float(exact / 60.0)),
            ("Seconds", Value::Float(exact)),
            ("Milliseconds", whole(milliseconds)),
            ("Microseconds", whole(milliseconds.saturating_mul(1000))),
            ("Nanoseconds", whole(milliseconds.saturating_mul(1_000_000))),
        ],
    }))
}

impl Row {
    /// What is known before anything is asked.
    pub(super) fn of(record: &MachineRecord, document: &Document) -> Self {
        Self {
            name: record.name.to_string(),
            driver: record.driver.clone(),
            fleet: record.fleet.as_ref().map(ToString::to_string),
            options: document.0["HostOptions"].clone(),
            ..Self::default()
        }
    }

    /// A machine whose record cannot be read.
    pub(super) fn broken(name: String, why: &str) -> Self {
        Self { name, driver: "not found".to_owned(), state: State::Error, error: one_line(why), ..Self::default() }
    }

    /// Whether the docker client speaks to it now.
    pub(super) fn is_active(&self) -> bool {
        matches!(self.active, Active::Host | Active::Swarm)
    }

    /// The columns of the table.
    pub(super) fn line(&self) -> String {
        let Self { name, driver, state, url, swarm, docker, error, active, fleet: _, response: _, options: _ } = self;
        [name, active.text(), driver, state.word(), url, swarm, docker, error].join("\t")
    }

    /// What templates are given: docker-machine's structure, with its types.
    pub(super) fn value(&self) -> Value {
        let state = Named {
            name: "state.State",
            number: self.state as i64,
            text: self.state.word().to_owned(),
            methods: Vec::new(),
        };
        Value::record(
            "commands.HostListItem",
            vec![
                ("Name", Value::text(&self.name)),
                ("Active", Value::text(self.active.text())),
                ("ActiveHost", Value::Bool(self.active == Active::Host)),
                ("ActiveSwarm", Value::Bool(self.active == Active::Swarm)),
                ("DriverName", Value::text(&self.driver)),
                ("State", Value::Named(Rc::new(state))),
                ("URL", Value::text(&self.url)),
                ("SwarmOptions", options("swarm.Options", &SWARM, &self.options["SwarmOptions"])),
                ("Swarm", Value::text(&self.swarm)),
                ("EngineOptions", options("engine.Options", &ENGINE, &self.options["EngineOptions"])),
                ("Error", Value::text(&self.error)),
                ("DockerVersion", Value::text(&self.docker)),
                ("ResponseTime", duration(self.response)),
            ],
        )
    }

    /// What the header of a table is made from.
    pub(super) fn header() -> Value {
        Value::text_map([
            ("Name", "NAME"),
            ("Active", "ACTIVE"),
            ("ActiveHost", "ACTIVE_HOST"),
            ("ActiveSwarm", "ACTIVE_SWARM"),
            ("DriverName", "DRIVER"),
            ("State", "STATE"),
            ("URL", "URL"),
            ("SwarmOptions", "SWARM_OPTIONS"),
            ("Swarm", "SWARM"),
            ("EngineOptions", "ENGINE_OPTIONS"),
            ("Error", "ERRORS"),
            ("DockerVersion", "DOCKER"),
            ("ResponseTime", "RESPONSE"),
        ])
    }

    /// What `--json` prints.
    pub(super) fn json(&self) -> Json {
        let Self { name, driver, state, url, swarm, docker, error, active: _, fleet, response, options: _ } = self;
        let some = |text: &str| if text.is_empty() { Json::Null } else { Json::from(text) };
        json!({
            "name": name,
            "fleet": fleet,
            "driver": driver,
            "state": some(state.word()),
            "active": self.is_active(),
            "url": some(url),
            "swarm": some(swarm),
            "engine": docker.strip_prefix('v'),
            "error": some(error),
            "response_ms": u64::try_from(response.as_millis()).unwrap_or(u64::MAX),
        })
    }

    /// Sorts rows: digits by their value, letters without case, and names that differ only in case beside each other.
    pub(super) fn order(&self) -> (Vec<(u128, String)>, String) {
        (natural(&self.name), self.name.clone())
    }
}

/// Sorts digits by their value and letters without case: `m2`, `M10`.
fn natural(name: &str) -> Vec<(u128, String)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (text, after) = after.split_at(letters);
        // No number comes after all numbers: digits stand before letters. A name has at most 63 digits.
        key.push((number.parse().unwrap_or(u128::MAX), text.to_lowercase()));
        rest = after;
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Template;

    #[test]
    fn names_are_sorted_as_people_count() {
        let mut names = ["m10", "a", "M2", "1x", "m", "m2-10", "m2-9", "m2"];
        names.sort_by_key(|name| Row { name: (*name).to_owned(), ..Row::default() }.order());
        assert_eq!(names, ["1x", "a", "m", "M2", "m2", "m2-9", "m2-10", "m10"]);
    }

    #[test]
    fn errors_stay_on_their_line() {
        assert_eq!(one_line("a\nb\tc\u{1b}[31m"), "ab c [31m");
    }

    #[test]
    fn durations_are_gos() {
        for (micros, want) in [
            (0, "0s"),
            (400, "0s"),
            (500, "1ms"),
            (19_000, "19ms"),
            (1_000_000, "1s"),
            (1_500_000, "1.5s"),
            (60_010_000, "1m0.01s"),
            (3_600_000_000, "1h0m0s"),
        ] {
            let Value::Named(named) = duration(Duration::from_micros(micros)) else { panic!("a named number") };
            assert_eq!(named.text, want);
        }
    }

    /// Recorded from docker-machine.
    #[test]
    fn templates_see_docker_machines_types() {
        let options = json!({
            "SwarmOptions": {"Host": "tcp://0.0.0.0:3376", "Image": "swarm:latest", "Strategy": "spread", "Env": null},
            "EngineOptions": {"TlsVerify": true, "InstallURL": "https://get.docker.com"},
        });
        let row = Row { name: "foo".to_owned(), state: State::Running, options, ..Row::default() };
        for (template, want) in [
            ("{{printf \"%d %v %T\" .State .State .State}}", "1 Running state.State"),
            ("{{.State.String}} {{.ResponseTime.Seconds}} {{.ResponseTime}}", "Running 0 0s"),
            ("{{.SwarmOptions}}", "{false   false false tcp://0.0.0.0:3376 swarm:latest spread 0 0 [] [] [] false}"),
            ("{{.EngineOptions}}", "{[] []  [] false [] []   false true [] https://get.docker.com}"),
            ("{{.SwarmOptions.Image}} {{len .EngineOptions.Labels}}", "swarm:latest 0"),
            ("{{.Name.X}}", "template: :1:7: executing \"\" at <.Name.X>: can't evaluate field X in type string"),
            (
                "{{.Nope}}",
                "template: :1:2: executing \"\" at <.Nope>: can't evaluate field Nope in type commands.HostListItem",
            ),
        ] {
            let mut out = String::new();
            let done = Template::parse(template).unwrap().execute(&row.value(), &mut out);
            assert_eq!(done.map_or_else(|e| e.to_string(), |()| out), want, "{template}");
        }
        let mut out = String::new();
        let broken = Row::broken("b".to_owned(), "x");
        let error =
            Template::parse("{{.SwarmOptions}}{{.SwarmOptions.Image}}").unwrap().execute(&broken.value(), &mut out);
        assert_eq!(out, "<nil>");
        let want =
            "template: :1:32: executing \"\" at <.SwarmOptions.Image>: nil pointer evaluating *swarm.Options.Image";
        assert_eq!(error.unwrap_err().to_string(), want);
    }
}
