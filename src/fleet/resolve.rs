//! From a document to a [`Fleet`] with nothing left open, or to everything that is wrong with it.

use super::{
    Fleet, HostSpec, Inputs, Policy,
    configuration::{Configuration, Configurations, refuse_without_driver},
    engine,
    group::Groups,
    hooks as hooks_of,
    node::{Entry, Node, Value},
    order::{self, Group},
    problem::{Code, Problem, Problems},
    raw::{RawDefaults, RawEngine, RawFleet, RawHooks, RawHost, RawPolicy, RawTime, RawTimeouts},
    read::{Strange, read},
    reference, suggest,
};
use crate::{
    driver::Drivers,
    engine::EngineSpec,
    hook::Hooks,
    name::{FleetName, MachineName, NameError},
    panicked::{caught, joined},
    record::OptionValues,
    transport::limited::Timeouts,
};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
};

/// Machines a fleet may have.
pub(super) const MAX_MACHINES: usize = 100_000;
/// The driver that is told an engine's URL and sets nothing up.
const NO_ENGINE: &str = "none";

/// Whether engines are set up on machines of a driver.
#[must_use]
pub fn sets_up_engine(driver: &str) -> bool {
    driver != NO_ENGINE
}

/// Resolves a document whose variables are expanded. `None`: the problems say why.
pub(super) fn resolve(root: &Node, inputs: &Inputs, drivers: &Drivers, problems: &mut Problems) -> Option<Fleet> {
    if root.is_unknown() {
        return None;
    }
    if !matches!(root.value, Value::Map(_)) {
        let problem = Problem::new(Code::WrongType, "a fleet file must be a mapping")
            .at(root.at, format!("this is {}", root.noun()))
            .help("write keys and values, for example:\nfleet: shop\nhosts: { web: { driver: nspawn } }");
        problems.push(problem);
        return None;
    }
    let (raw, strange): (RawFleet, _) = read("fleet", root, problems);
    refuse(&strange, Section::Other, problems);
    let name = fleet_name(raw.fleet, root, inputs, problems);

    let section = |key: &str| root.entry(key).map(|e| &e.node);
    for key in ["drivers", "groups", "hosts"] {
        mapping_only(root.entry(key), problems);
    }
    let configurations = Configurations::read(section("drivers"), drivers, problems);
    let defaults = Defaults::read(section("defaults"), &configurations, problems);
    let policy = policy(section("policy"), problems);
    let hosts = if let Some(entry) = root.entry("hosts") {
        let groups = Groups::read(section("groups"), drivers, problems);
        hosts(&entry.node, &groups, &configurations, &defaults, problems)
    } else {
        let problem = Problem::new(Code::MissingKey, "the fleet has no `hosts`")
            .at(root.at, "there is no `hosts` beside this")
            .help("add `hosts:` with a host by name, as `hosts: { web: {} }`; for none at all write `hosts: {}`");
        problems.push(problem);
        BTreeMap::new()
    };
    Some(Fleet { name: name?, hosts, policy }).filter(|_| problems.is_empty())
}

fn mapping_only(entry: Option<&Entry>, problems: &mut Problems) {
    let Some(entry) = entry.filter(|e| !matches!(e.node.value, Value::Map(_)) && !e.node.is_unknown()) else {
        return;
    };
    let key = &entry.key;
    if entry.node.is_null() && key != "hosts" {
        return;
    }
    // An empty `hosts` is more likely a mistake than a wish to have none.
    let (label, help) = if entry.node.is_null() {
        ("there is no value".to_owned(), format!("for none at all write `{key}: {{}}`"))
    } else {
        (format!("this is {}", entry.node.noun()), format!("write `{key}: {{ name: {{ … }} }}`"))
    };
    problems
        .push(Problem::new(Code::WrongType, format!("`{key}` must be a mapping")).at(entry.node.at, label).help(help));
}

fn fleet_name(given: Option<String>, root: &Node, inputs: &Inputs, problems: &mut Problems) -> Option<FleetName> {
    let entry = root.entry("fleet");
    match (given, entry) {
        (Some(name), Some(entry)) => FleetName::new(name).map_err(|e| problems.push(bad_name(&e, &entry.node))).ok(),
        (_, Some(_)) => None,
        (_, None) => {
            let default = inputs.default_name.as_deref().map(FleetName::new);
            if let Some(Ok(name)) = default {
                return Some(name);
            }
            let help = match default {
                Some(Err(why)) => format!("add `fleet: NAME`; the name of the file cannot serve: {why}"),
                _ => "add `fleet: NAME`; the name owns the machines that are made".to_owned(),
            };
            let problem =
                Problem::new(Code::MissingKey, "the fleet has no name").at(root.at, "there is no `fleet` beside this");
            problems.push(problem.help(help));
            None
        }
    }
}

fn bad_name(error: &NameError, at: &Node) -> Problem {
    Problem::new(Code::BadName, error.to_string())
        .at(at.at, "not a name")
        .help("a name is part of hostnames and paths: letters, digits, `-` and `.`, at most 63")
}

/// What is planned and not there yet. Says so, and whether it did.
pub(super) fn unsupported(entry: &Entry, problems: &mut Problems) -> bool {
    if entry.key != "swarm" {
        return false;
    }
    let problem = Problem::new(Code::NotSupported, "`swarm` is not supported yet")
        .at(entry.key_at, "not in this release")
        .help("remove it, and form the swarm with `docker swarm init` and `docker swarm join` on the hosts");
    problems.push(problem);
    true
}

/// Where keys stand that nothing reads, as far as it matters to what is said of them.
#[derive(Clone, Copy)]
pub(super) enum Section<'d> {
    /// At the top of `defaults`, where people write the options of these drivers.
    Defaults(&'d Drivers),
    /// Anywhere else.
    Other,
}

/// Refuses keys that nothing reads. `section` is where they are, for those at its top.
pub(super) fn refuse(strange: &[Strange<'_>], section: Section<'_>, problems: &mut Problems) {
    for Strange { entry, known, top } in strange {
        if unsupported(entry, problems) {
            continue;
        }
        let otherwise = match section {
            Section::Defaults(drivers) if *top && drivers.have_option(&entry.key) => {
                "options of a driver belong to a configuration in `drivers`, or to a host".to_owned()
            }
            Section::Defaults(_) if *top && reference::is_of_engine(&entry.key) => {
                format!("write it under `engine`: `engine: {{ {}: … }}`", entry.key)
            }
            Section::Defaults(_) | Section::Other => format!("known here are {}", suggest::list(known.iter().copied())),
        };
        let meant = problems.did_you_mean(&entry.key, known.iter().copied());
        let problem = Problem::new(Code::UnknownKey, format!("unknown key `{}`", entry.key))
            .at(entry.key_at, "nothing reads this")
            .suggest(meant, otherwise);
        problems.push(problem);
    }
}

fn inner<'a>(strange: &[Strange<'a>]) -> Vec<Strange<'a>> {
    strange.iter().filter(|s| !s.top).copied().collect()
}

/// What hosts have unless they say otherwise.
struct Defaults {
    /// `None`: none is named, or it is wrong.
    driver: Option<String>,
    /// Whether a wrong one is named, so that hosts need not complain about having none.
    driver_is_wrong: bool,
    raw_engine: RawEngine,
    engine: EngineSpec,
    protect: bool,
    optional: bool,
    tls_names: BTreeSet<String>,
    hooks: Hooks,
}

impl Defaults {
    fn read(section: Option<&Node>, configurations: &Configurations<'_>, problems: &mut Problems) -> Self {
        let (raw, strange): (RawDefaults, _) = section.map(|node| read("defaults", node, problems)).unwrap_or_default();
        refuse(&strange, Section::Defaults(configurations.drivers), problems);
        let named = section.and_then(|node| node.entry("driver"));
        let driver =
            raw.driver.filter(|name| named.is_some_and(|e| configurations.find(name, &e.node, problems).is_some()));
        if let Some(entry) = section.and_then(|node| node.entry("engine")) {
            engine::check(&raw.engine, &raw.engine, &entry.node, problems);
        }
        Self {
            driver_is_wrong: driver.is_none() && named.is_some(),
            driver,
            engine: engine::complete(raw.engine.clone()),
            raw_engine: raw.engine,
            protect: raw.protect.unwrap_or_default(),
            optional: raw.optional.unwrap_or_default(),
            tls_names: tls_names(raw.tls_names, section, problems),
            hooks: hooks(Some(raw.hooks), section, problems),
        }
    }
}

fn hooks(raw: Option<RawHooks>, section: Option<&Node>, problems: &mut Problems) -> Hooks {
    let entry = section.and_then(|node| node.entry("hooks"));
    raw.zip(entry).map(|(raw, entry)| hooks_of::read(raw, &entry.node, problems)).unwrap_or_default()
}

fn tls_names(names: Vec<String>, section: Option<&Node>, problems: &mut Problems) -> BTreeSet<String> {
    for (item, name) in section.and_then(|node| node.entry("tls-names")).iter().flat_map(|e| e.node.texts()) {
        if !engine::is_tls_name(name) {
            let problem = Problem::new(Code::BadValue, "`tls-names` must be hostnames or addresses")
                .at(item.at, "neither")
                .help("write names as a client uses them: `db.example.org`, `192.0.2.10`, without scheme or port");
            problems.push(problem);
        }
    }
    names.into_iter().collect()
}

fn policy(section: Option<&Node>, problems: &mut Problems) -> Policy {
    let (raw, strange): (RawPolicy, _) = section.map(|node| read("policy", node, problems)).unwrap_or_default();
    refuse(&strange, Section::Other, problems);
    let RawPolicy {
        parallel,
        on_error,
        prune,
        max_delete,
        max_unavailable,
        renew_before_days,
        timeouts,
        bastion_sessions,
    } = raw;
    if max_unavailable.is_some_and(super::Limit::is_nothing)
        && let Some(entry) = section.and_then(|node| node.entry("max_unavailable"))
    {
        let problem = Problem::new(Code::BadValue, "`max_unavailable` must be 1 or more")
            .at(entry.node.at, "nothing could ever be changed")
            .help("write how many machines may be down at once, as `1` or `25%`");
        problems.push(problem);
    }
    let RawTimeouts { connect, boot, command, install } = timeouts.unwrap_or_default();
    let time = |wait: Option<RawTime>| wait.map(|RawTime(time)| time);
    let default = Policy::default();
    Policy {
        parallel: parallel.map_or(default.parallel, Into::into),
        on_error: on_error.unwrap_or(default.on_error),
        prune: prune.unwrap_or(default.prune),
        max_delete: max_delete.unwrap_or(default.max_delete),
        max_unavailable,
        renew_before_days: renew_before_days.map_or(default.renew_before_days, i64::from),
        timeouts: Timeouts { connect: time(connect), boot: time(boot), command: time(command), install: time(install) },
        bastion_sessions: bastion_sessions.map(Into::into),
    }
}

fn hosts(
    section: &Node,
    named: &Groups<'_>,
    configurations: &Configurations<'_>,
    defaults: &Defaults,
    problems: &mut Problems,
) -> BTreeMap<MachineName, HostSpec> {
    let mut groups = Vec::with_capacity(section.entries().len());
    let mut specs = Vec::with_capacity(section.entries().len());
    let mut machines = 0;
    // With what their groups give them.
    let whole: Vec<_> = section.entries().iter().map(|entry| named.complete(entry, problems)).collect();
    let read = read_hosts(&whole, configurations, defaults, problems);
    for (entry, (count, spec)) in whole.iter().map(AsRef::as_ref).zip(read) {
        let members = members(entry, count, &mut machines, problems);
        specs.push(spec);
        groups.push(Group { entry, members });
    }
    refuse_same_names(&groups, named, problems);
    let waits = order::resolve(&groups, named, problems);
    if !problems.is_empty() {
        return BTreeMap::new();
    }
    let mut hosts: Vec<(MachineName, HostSpec)> = Vec::with_capacity(machines);
    for ((group, spec), depends_on) in groups.into_iter().zip(specs).zip(waits) {
        let Some(spec) = spec else { continue };
        let spec = HostSpec { depends_on, ..spec };
        let mut members = group.members;
        // The last takes the specification itself: most hosts are alone.
        let last = members.pop();
        hosts.extend(members.into_iter().map(|name| (name, spec.clone())));
        hosts.extend(last.map(|name| (name, spec)));
    }
    in_order(hosts)
}

/// Hosts by name. Each is moved once: sorting names is quicker than sorting hosts.
fn in_order(mut hosts: Vec<(MachineName, HostSpec)>) -> BTreeMap<MachineName, HostSpec> {
    hosts.sort_by_cached_key(|(name, _)| name.clone());
    hosts.into_iter().collect()
}

/// Hosts that one thread reads: a fleet of more is read by several at once.
const OF_A_THREAD: usize = 10_000;

/// What each host says: how many machines, and what they are.
fn read_hosts(
    whole: &[Cow<'_, Entry>],
    configurations: &Configurations<'_>,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Vec<(Option<usize>, Option<HostSpec>)> {
    let read = |entry: &Entry, problems: &mut Problems| {
        let (raw, strange): (RawHost, _) = read(&entry.key, &entry.node, problems);
        refuse(&inner(&strange), Section::Other, problems);
        (raw.count, host(entry, raw, &strange, configurations, defaults, problems))
    };
    if whole.len() <= OF_A_THREAD {
        return whole.iter().map(|entry| read(entry, problems)).collect();
    }
    let part = |entries: &[Cow<'_, Entry>]| {
        let mut problems = Problems::default();
        let hosts: Vec<_> = entries.iter().map(|entry| read(entry, &mut problems)).collect();
        (hosts, problems)
    };
    std::thread::scope(|scope| {
        let part = &part;
        let running: Vec<_> =
            whole.chunks(OF_A_THREAD).map(|entries| scope.spawn(move || caught(|| part(entries)))).collect();
        let mut all = Vec::with_capacity(whole.len());
        // In file order, whichever ends first.
        for thread in running {
            let (hosts, found) = joined(thread.join());
            all.extend(hosts);
            problems.append(found);
        }
        all
    })
}

/// Names of the machines a host stands for.
fn members(entry: &Entry, count: Option<usize>, machines: &mut usize, problems: &mut Problems) -> Vec<MachineName> {
    let at = Node { at: entry.key_at, value: Value::List(Vec::new()) };
    *machines = machines.saturating_add(count.unwrap_or(1));
    if *machines > MAX_MACHINES {
        let place = entry.node.entry("count").map_or(entry.key_at, |e| e.node.at);
        let problem = Problem::new(Code::TooLarge, format!("a fleet has at most {MAX_MACHINES} machines"))
            .at(place, "here it becomes too many")
            .help("split the fleet");
        *machines = 0;
        problems.push(problem);
        return Vec::new();
    }
    let names: Result<Vec<_>, _> = match count {
        None => MachineName::new(&entry.key).map(|name| vec![name]),
        Some(count) => {
            // Also when there are none: the name must be one that others can be made of.
            let first = MachineName::new(&entry.key).map(|_| ());
            first.and_then(|()| (1..=count).map(|n| MachineName::new(format!("{}-{n}", entry.key))).collect())
        }
    };
    names.map_err(|e| problems.push(bad_name(&e, &at))).unwrap_or_default()
}

/// Two hosts of one name: `web-1` beside `web` with a count. A group cannot be called as a host either.
fn refuse_same_names(groups: &[Group<'_>], named: &Groups<'_>, problems: &mut Problems) {
    let mut owners: HashMap<&str, usize> = HashMap::new();
    let keys: HashMap<&str, &Entry> = groups.iter().map(|g| (g.entry.key.as_str(), g.entry)).collect();
    for (name, at) in named.names() {
        if let Some(host) = keys.get(name) {
            let problem = Problem::new(Code::SameName, format!("a host and a group are called `{name}`"))
                .at(host.key_at, "the host")
                .at(at, "the group")
                .help("rename one of them: `depends_on` could mean both");
            problems.push(problem);
        }
    }
    let mut told = BTreeSet::new();
    for (n, group) in groups.iter().enumerate() {
        for member in &group.members {
            let first = *owners.entry(member.as_str()).or_insert(n);
            if first == n || !told.insert((first, n)) {
                continue;
            }
            let what = |g: &Group<'_>| {
                if g.entry.key == member.as_str() {
                    format!("this is `{member}`")
                } else {
                    format!("this makes `{0}-1` to `{0}-{1}`", g.entry.key, g.members.len())
                }
            };
            let problem = Problem::new(Code::SameName, format!("two hosts are called `{member}`"))
                .at(group.entry.key_at, what(group))
                .at(groups[first].entry.key_at, what(&groups[first]))
                .help("rename one of them");
            problems.push(problem);
        }
    }
}

/// What each machine of a host is, but for what it waits for. `None`: the problems say why.
fn host(
    entry: &Entry,
    raw: RawHost,
    strange: &[Strange<'_>],
    configurations: &Configurations<'_>,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<HostSpec> {
    let RawHost {
        driver,
        count: _,
        groups: _,
        depends_on: _,
        engine: own_engine,
        protect,
        optional,
        tls_names: own_names,
        hooks: own_hooks,
    } = raw;
    if !matches!(entry.node.value, Value::Map(_)) && !entry.node.is_null() {
        return None;
    }
    let configuration = configuration(entry, driver, strange, configurations, defaults, problems);
    let names = own_names.map(|names| tls_names(names, Some(&entry.node), problems));
    let engine = host_engine(entry, own_engine, defaults, problems);
    let hooks = hooks_of::merge(&defaults.hooks, hooks(own_hooks, Some(&entry.node), problems));
    let configuration = configuration?;
    let options: Option<OptionValues> = configurations.options(configuration, entry, strange, problems);
    let sets_up = sets_up_engine(configuration.driver.name());
    if !sets_up {
        hooks_of::refuse_host(&hooks, &entry.node, entry.key_at, NO_ENGINE, problems);
        for key in ["engine", "tls-names"] {
            if let Some(wrong) = entry.node.entry(key) {
                let problem = Problem::new(Code::EngineNotOurs, format!("host `{}` cannot have `{key}`", entry.key))
                    .at(
                        wrong.key_at,
                        format!("driver `{NO_ENGINE}` only knows the URL of an engine, and sets nothing up"),
                    )
                    .help("remove it, or use a driver that reaches the host, as `generic` does through SSH");
                problems.push(problem);
            }
        }
    }
    Some(HostSpec {
        driver: configuration.driver.name().to_owned(),
        options: options?,
        engine: sets_up.then_some(engine),
        tls_names: names.unwrap_or_else(|| defaults.tls_names.clone()),
        depends_on: BTreeSet::new(),
        protect: protect.unwrap_or(defaults.protect),
        optional: optional.unwrap_or(defaults.optional),
        hooks,
    })
}

fn configuration<'c, 'a>(
    entry: &Entry,
    own: Option<String>,
    strange: &[Strange<'_>],
    configurations: &'c Configurations<'a>,
    defaults: &Defaults,
    problems: &mut Problems,
) -> Option<&'c Configuration<'a>> {
    match (own, entry.node.entry("driver"), &defaults.driver) {
        (Some(name), Some(at), _) => configurations.find(&name, &at.node, problems),
        (_, Some(_), _) => None,
        (_, None, Some(name)) => configurations.find(name, &entry.node, problems),
        (_, None, None) => {
            let named = refuse_without_driver(strange, configurations.drivers, &configurations.names(), problems);
            if !named && !defaults.driver_is_wrong {
                let problem = Problem::new(Code::NoDriver, format!("host `{}` has no driver", entry.key))
                    .at(entry.key_at, "what makes this machine?")
                    .help(format!(
                        "add `driver: …` to the host or to `defaults`; there are {}",
                        suggest::list(configurations.names())
                    ));
                problems.push(problem);
            }
            None
        }
    }
}

fn host_engine(entry: &Entry, own: Option<RawEngine>, defaults: &Defaults, problems: &mut Problems) -> EngineSpec {
    let (Some(own), Some(at)) = (own, entry.node.entry("engine")) else {
        return defaults.engine.clone();
    };
    let merged = engine::merge(&defaults.raw_engine, &own);
    engine::check(&own, &merged, &at.node, problems);
    engine::complete(merged)
}
