//! A fleet file as people write it. These types are the file's reference: what they say is checked when a
//! file is read, and is in the schema that editors use. A driver's own keys are in its options table instead.

use crate::{
    duration,
    engine::{Api, Source, VersionPin},
    hook::On,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::{
    collections::BTreeMap,
    num::{NonZeroU16, NonZeroUsize},
    time::Duration,
};

/// A fleet: hosts, and how to make and keep them.
// Its sections are read one by one, hosts one by one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "Fleet", rename = "fleet", extend("required" = ["hosts"]))]
pub(super) struct RawFleet {
    /// Name of the fleet: it owns the machines made for it. Absent: the name of the file's directory.
    pub(super) fleet: Option<String>,
    /// Variables, used as `${var.NAME}`. `--var NAME=VALUE` overrides; one without a value must be given so, or in a
    /// file with `--var-file`. The environment is `${env.NAME}`.
    #[schemars(with = "BTreeMap<String, Option<Scalar>>")]
    pub(super) vars: Section,
    /// Driver configurations by name, for hosts to share.
    #[schemars(with = "BTreeMap<String, RawConfiguration>")]
    pub(super) drivers: Section,
    /// What every host has unless it says otherwise.
    #[schemars(with = "RawDefaults")]
    pub(super) defaults: Section,
    /// Groups by name: what hosts that name them in `groups` have beside `defaults`, unless they say otherwise.
    #[schemars(with = "BTreeMap<String, Option<RawGroup>>")]
    pub(super) groups: Section,
    /// Hosts by name. The name is the machine's name.
    #[schemars(with = "BTreeMap<String, Option<RawHost>>")]
    pub(super) hosts: Section,
    /// How the fleet is applied.
    #[schemars(with = "RawPolicy")]
    pub(super) policy: Section,
}

/// A part of the file that is read by itself.
pub(super) type Section = serde::de::IgnoredAny;

/// A text, or what is taken as one.
// Only its schema is used.
#[derive(JsonSchema)]
#[schemars(inline, extend("type" = ["string", "number", "boolean"]))]
pub(super) struct Scalar(());

/// A text, or where a secret one is.
// Only its schema is used.
#[derive(JsonSchema)]
#[schemars(inline, untagged)]
#[expect(dead_code, reason = "only its schema is used")]
pub(super) enum ScalarOrSecret {
    /// A text.
    Text(Scalar),
    /// A secret.
    Secret(crate::secret::Secret),
}

/// A driver and options for it.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "configuration", extend("required" = ["driver"]))]
pub(super) struct RawConfiguration {
    /// The driver that makes and controls these machines.
    pub(super) driver: Option<String>,
}

/// What every host has unless it says otherwise.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "defaults")]
pub(super) struct RawDefaults {
    /// A configuration from `drivers`, or a driver.
    pub(super) driver: Option<String>,
    /// The Docker engine on the hosts.
    pub(super) engine: RawEngine,
    /// Removal is refused while this is true, also when the host has left the file.
    pub(super) protect: Option<bool>,
    /// The failure of an optional host does not fail the run.
    pub(super) optional: Option<bool>,
    /// Further names and addresses in the certificates of the engines.
    pub(super) tls_names: Vec<String>,
    /// Commands of your own around what is done to machines.
    pub(super) hooks: RawHooks,
}

/// One host, or `count` hosts that are alike. Keys that are not listed here are options of its driver.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "host")]
pub(super) struct RawHost {
    /// A configuration from `drivers`, or a driver. Absent: the default one.
    pub(super) driver: Option<String>,
    /// Makes hosts NAME-1 to NAME-count instead of one.
    pub(super) count: Option<usize>,
    /// Groups the host is in. It has what they have; where several have the same, the last counts.
    pub(super) groups: Vec<String>,
    /// Hosts that must be complete first. The name of a host with `count`, or of a group, means all of them.
    pub(super) depends_on: Vec<String>,
    /// The Docker engine; what is absent comes from `defaults`.
    pub(super) engine: Option<RawEngine>,
    /// Removal is refused while this is true, also when the host has left the file.
    pub(super) protect: Option<bool>,
    /// The failure of an optional host does not fail the run.
    pub(super) optional: Option<bool>,
    /// Further names and addresses in the certificate of the engine.
    #[serde(rename = "tls-names")]
    pub(super) tls_names: Option<Vec<String>>,
    /// Commands of your own around what is done to the machine. A list replaces that of `defaults` for the same point.
    pub(super) hooks: Option<RawHooks>,
}

/// What the hosts of a group have unless they say otherwise. Keys that are not listed here are options of drivers.
// Only its types are checked: hosts are read with what their groups give them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "group")]
pub(super) struct RawGroup {
    /// A configuration from `drivers`, or a driver.
    pub(super) driver: Option<String>,
    /// Hosts that must be complete first. The name of a host with `count`, or of a group, means all of them.
    pub(super) depends_on: Vec<String>,
    /// The Docker engine.
    pub(super) engine: Option<RawEngine>,
    /// Removal is refused while this is true, also when the host has left the file.
    pub(super) protect: Option<bool>,
    /// The failure of an optional host does not fail the run.
    pub(super) optional: Option<bool>,
    /// Further names and addresses in the certificate of the engine.
    #[serde(rename = "tls-names")]
    pub(super) tls_names: Option<Vec<String>>,
    /// Commands of your own around what is done to the machines.
    pub(super) hooks: Option<RawHooks>,
}

/// Commands of your own around what is done to a machine: each is run once for each step that a plan shows.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "hooks")]
pub(super) struct RawHooks {
    /// Before the machine is made. If one fails, it is not made.
    pub(super) pre_create: Option<Vec<RawHook>>,
    /// After all of the machine was made.
    pub(super) post_create: Option<Vec<RawHook>>,
    /// Before something on the machine is changed. If one fails, nothing is changed.
    pub(super) pre_upgrade: Option<Vec<RawHook>>,
    /// After all changes to the machine.
    pub(super) post_upgrade: Option<Vec<RawHook>>,
    /// Before the machine is removed, also when it left the file. If one fails, it is not removed.
    pub(super) pre_rm: Option<Vec<RawHook>>,
    /// After the machine was removed, also when it left the file.
    pub(super) post_rm: Option<Vec<RawHook>>,
}

/// One command of your own. It finds `MACHINE_NAME`, `MACHINE_ADDRESS`, `MACHINE_DRIVER`, `MACHINE_FLEET`
/// and `MACHINE_ACTION` in its environment.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "hook", extend("required" = ["run"]))]
pub(super) struct RawHook {
    /// What plans call the hook; its place in the list unless given.
    pub(super) name: Option<String>,
    /// A text for `sh -c`, or a list of a program and its arguments that no shell reads. Nothing is put into it.
    #[schemars(with = "RawRun")]
    pub(super) run: Option<serde_json::Value>,
    /// Where the hook runs: on this computer in the folder of the fleet file (`local`, the default), or on the machine as
    /// root (`host`).
    pub(super) on: Option<On>,
    /// When the hook has taken too long and is ended, as `90s`, `5m` or `1h`; 5 minutes unless given.
    #[schemars(with = "String", extend("type" = ["string", "number"]))]
    pub(super) timeout: Option<String>,
}

/// A text for a shell, or words.
// Only its schema is used.
#[derive(JsonSchema)]
#[schemars(inline, extend("type" = ["string", "array"], "items" = { "type": ["string", "number", "boolean"] }))]
pub(super) struct RawRun(());

/// The Docker engine. Mappings of a host are merged with those of `defaults`, lists replace them.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(rename = "engine")]
pub(super) struct RawEngine {
    /// Version, exact (`28.2.1`) or a prefix (`28`, `28.2`). Absent: the newest at creation, then kept.
    #[schemars(with = "String", extend("type" = ["string", "number"]))]
    pub(super) version: Option<VersionPin>,
    /// Where it comes from when a host has none: the distribution (`distro`, the default), Docker's packages
    /// (`docker-ce`), or a script (`script`). With `present` nothing is installed.
    pub(super) source: Option<Source>,
    /// Base URL where Docker's packages are mirrored, for `source: docker-ce`.
    pub(super) mirror: Option<String>,
    /// URL of a script that installs an engine, for `source: script`.
    pub(super) install_url: Option<String>,
    /// How clients reach it: TCP with mutual TLS (`tls`, the default), or through SSH with no port open (`ssh`).
    pub(super) api: Option<Api>,
    /// TCP port for `api: tls`; 2376 unless given.
    pub(super) port: Option<NonZeroU16>,
    /// Labels of the engine.
    #[schemars(with = "BTreeMap<String, Scalar>")]
    pub(super) labels: BTreeMap<String, String>,
    /// URLs of mirrors of the public registry.
    pub(super) registry_mirrors: Option<Vec<String>>,
    /// Registries (`host`, `host:port` or a network) that may be spoken to without TLS.
    pub(super) insecure_registries: Option<Vec<String>>,
    /// Variables of the environment of dockerd. A secret value is given by reference, as `{ env: NAME }`,
    /// `{ file: PATH }` or `{ command: COMMAND }`.
    #[schemars(with = "BTreeMap<String, ScalarOrSecret>")]
    pub(super) env: BTreeMap<String, super::variable::RawVariable>,
    /// Further keys of daemon.json. They are merged into what is on the host.
    pub(super) daemon: Map<String, Value>,
    /// Whether a firewall on the host may be told to let the port through; false unless given.
    pub(super) open_firewall: Option<bool>,
}

/// How the fleet is applied.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "policy")]
pub(super) struct RawPolicy {
    /// How many hosts are worked on at once; 16 unless given.
    pub(super) parallel: Option<NonZeroUsize>,
    /// What a failure stops: its dependants (the default), every further step, or nothing.
    pub(super) on_error: Option<super::OnError>,
    /// Whether machines whose hosts left the file are removed without `--prune`; false unless given.
    pub(super) prune: Option<bool>,
    /// More removals than this, a number or a share as `10%`, need `--allow-delete=N`; `1 or 10%` unless given,
    /// which is the larger of both. The removal of all machines always needs it.
    #[schemars(with = "String", extend("type" = ["string", "integer"]))]
    pub(super) max_delete: Option<super::Limit>,
    /// How many of the machines there are, a number or a share as `25%`, may be down at once because they are
    /// changed; all of them unless given. The first that fails stops the rest.
    #[schemars(with = "String", extend("type" = ["string", "integer"]))]
    pub(super) max_unavailable: Option<super::Limit>,
    /// Certificates that end within this many days are renewed; 30 unless given.
    pub(super) renew_before_days: Option<u32>,
    /// How many connections to one jump host the hosts behind it share; 2 unless given.
    pub(super) bastion_sessions: Option<NonZeroUsize>,
    /// How long things may take before they count as failed.
    pub(super) timeouts: Option<RawTimeouts>,
}

/// Times as `45s`, `10m` or `1h30m`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(rename = "timeouts")]
pub(super) struct RawTimeouts {
    /// One attempt to connect; 10s unless given.
    #[schemars(with = "Option<Scalar>")]
    pub(super) connect: Option<RawTime>,
    /// A host that was made or started, until it can be logged in to; 3m unless given, and 30s for one that was there.
    #[schemars(with = "Option<Scalar>")]
    pub(super) boot: Option<RawTime>,
    /// A command that answers at once; 1m unless given.
    #[schemars(with = "Option<Scalar>")]
    pub(super) command: Option<RawTime>,
    /// A script that installs or changes something; 1h unless given.
    #[schemars(with = "Option<Scalar>")]
    pub(super) install: Option<RawTime>,
}

/// A time that something may take: more than none.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct RawTime(pub(super) Duration);

impl TryFrom<String> for RawTime {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        match duration::parse(text.trim()) {
            Ok(Duration::ZERO) => Err("nothing is done in no time: leave it out for the usual limit".to_owned()),
            Ok(time) => Ok(Self(time)),
            Err(e) => Err(format!("`{text}` is no time: {e}")),
        }
    }
}
