//! dockerd's options: as they are written on a command line, and as keys of daemon.json.

use serde_json::{Map, Value, json};
use std::iter::Peekable;

/// One option of dockerd's command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Flag {
    /// Its long name: `host` for `-H`.
    pub name: String,
    /// Its value, unquoted; empty for a switch.
    pub value: String,
    /// How it is written on the line.
    pub written: String,
}

/// How the values of an option stand in daemon.json.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// A text; the last one counts.
    Text,
    /// A whole number.
    Number,
    /// `true` or `false`; its flag needs no value.
    Switch,
    /// A list of texts, one for each time it is given.
    List,
    /// `name=text` each.
    Texts,
    /// `name=true` or `name=false` each.
    Switches,
    /// `name=soft:hard` each.
    Ulimits,
    /// `base=NETWORK,size=BITS` each.
    Pools,
    /// `name=PATH` each.
    Runtimes,
    /// `driver=name=text` each.
    NetworkOptions,
    /// One text of the object `proxies`.
    Proxy,
}

/// Flags of dockerd and their keys (dockerd's reference: its options and its daemon.json), except those that are
/// a text under their own name.
const FLAGS: &[(&str, &str, Kind)] = &[
    ("add-runtime", "runtimes", Kind::Runtimes),
    ("allow-direct-routing", "allow-direct-routing", Kind::Switch),
    ("allow-nondistributable-artifacts", "allow-nondistributable-artifacts", Kind::List),
    ("authorization-plugin", "authorization-plugins", Kind::List),
    ("bridge-accept-fwmark", "bridge-accept-fwmark", Kind::Text),
    ("cdi-spec-dir", "cdi-spec-dirs", Kind::List),
    ("cluster-store-opt", "cluster-store-opts", Kind::Texts),
    ("cpu-rt-period", "cpu-rt-period", Kind::Number),
    ("cpu-rt-runtime", "cpu-rt-runtime", Kind::Number),
    ("cri-containerd", "cri-containerd", Kind::Switch),
    ("debug", "debug", Kind::Switch),
    ("default-address-pool", "default-address-pools", Kind::Pools),
    ("default-network-opt", "default-network-opts", Kind::NetworkOptions),
    ("default-ulimit", "default-ulimits", Kind::Ulimits),
    ("disable-legacy-registry", "disable-legacy-registry", Kind::Switch),
    ("dns", "dns", Kind::List),
    ("dns-opt", "dns-opts", Kind::List),
    ("dns-search", "dns-search", Kind::List),
    ("exec-opt", "exec-opts", Kind::List),
    ("experimental", "experimental", Kind::Switch),
    ("feature", "features", Kind::Switches),
    ("graph", "data-root", Kind::Text),
    ("host", "hosts", Kind::List),
    ("http-proxy", "proxies", Kind::Proxy),
    ("https-proxy", "proxies", Kind::Proxy),
    ("icc", "icc", Kind::Switch),
    ("init", "init", Kind::Switch),
    ("insecure-registry", "insecure-registries", Kind::List),
    ("ip-forward", "ip-forward", Kind::Switch),
    ("ip-forward-no-drop", "ip-forward-no-drop", Kind::Switch),
    ("ip-masq", "ip-masq", Kind::Switch),
    ("ip6tables", "ip6tables", Kind::Switch),
    ("iptables", "iptables", Kind::Switch),
    ("ipv6", "ipv6", Kind::Switch),
    ("label", "labels", Kind::List),
    ("live-restore", "live-restore", Kind::Switch),
    ("log-opt", "log-opts", Kind::Texts),
    ("max-concurrent-downloads", "max-concurrent-downloads", Kind::Number),
    ("max-concurrent-uploads", "max-concurrent-uploads", Kind::Number),
    ("max-download-attempts", "max-download-attempts", Kind::Number),
    ("mtu", "mtu", Kind::Number),
    ("network-control-plane-mtu", "network-control-plane-mtu", Kind::Number),
    ("network-diagnostic-port", "network-diagnostic-port", Kind::Number),
    ("no-new-privileges", "no-new-privileges", Kind::Switch),
    ("no-proxy", "proxies", Kind::Proxy),
    ("node-generic-resource", "node-generic-resources", Kind::List),
    ("oom-score-adjust", "oom-score-adjust", Kind::Number),
    ("raw-logs", "raw-logs", Kind::Switch),
    ("registry-mirror", "registry-mirrors", Kind::List),
    ("rootless", "rootless", Kind::Switch),
    ("selinux-enabled", "selinux-enabled", Kind::Switch),
    ("shutdown-timeout", "shutdown-timeout", Kind::Number),
    ("storage-opt", "storage-opts", Kind::List),
    ("tls", "tls", Kind::Switch),
    ("tlsverify", "tlsverify", Kind::Switch),
    ("userland-proxy", "userland-proxy", Kind::Switch),
    ("validate", "validate", Kind::Switch),
];

/// One-letter names (dockerd's `--help`).
const SHORT: &[(&str, &str)] = &[
    ("-H", "host"),
    ("-D", "debug"),
    ("-l", "log-level"),
    ("-g", "graph"),
    ("-s", "storage-driver"),
    ("-b", "bridge"),
    ("-G", "group"),
    ("-p", "pidfile"),
];

fn kind(name: &str) -> Option<Kind> {
    FLAGS.iter().find(|(flag, ..)| *flag == name).map(|(.., kind)| *kind)
}

impl Flag {
    /// The options of a command line of dockerd, without its path and without plain words such as `$DOCKER_OPTS`.
    #[must_use]
    pub fn of(command: &str) -> Vec<Self> {
        let mut words = words(command).into_iter().skip(1).peekable();
        let mut flags = Vec::new();
        while let Some(word) = words.next() {
            flags.extend(Self::read(&word, &mut words));
        }
        flags
    }

    fn read(word: &Word, rest: &mut Peekable<impl Iterator<Item = Word>>) -> Option<Self> {
        let flag = |name: &str, value: &str, written: &str| {
            Some(Self { name: name.to_owned(), value: value.to_owned(), written: written.to_owned() })
        };
        let short = SHORT.iter().find(|(short, _)| *short == word.text).map(|(_, name)| *name);
        let Some(name) = short.or_else(|| word.text.strip_prefix("--")) else {
            let value = word.text.strip_prefix("-H")?;
            return flag("host", value.trim_start_matches('='), &word.written);
        };
        if let Some((name, value)) = name.split_once('=') {
            return flag(name, value, &word.written);
        }
        if kind(name) == Some(Kind::Switch) {
            return flag(name, "", &word.written);
        }
        let takes = kind(name).is_some();
        match rest.next_if(|next| takes || !next.text.starts_with('-')) {
            Some(value) => flag(name, &value.text, &format!("{} {}", word.written, value.written)),
            None => flag(name, "", &word.written),
        }
    }

    /// Its key of daemon.json.
    #[must_use]
    pub fn key(&self) -> &str {
        FLAGS.iter().find(|(flag, ..)| *flag == self.name).map_or(self.name.as_str(), |(_, key, _)| key)
    }

    /// Whether nothing follows its name, not even `=`.
    fn is_bare(&self) -> bool {
        self.value.is_empty() && !self.written.contains('=')
    }

    /// Says the same in keys of daemon.json. An option that dockerd may have and this table has not is a text,
    /// or true or false.
    ///
    /// # Errors
    /// Says why the value cannot be one of this option.
    pub fn set(&self, keys: &mut Map<String, Value>) -> Result<(), String> {
        let Self { name, value, .. } = self;
        let wrong = |want: &str| format!("`{name}` must be {want}, not `{value}`");
        let switch = || switch(value).ok_or_else(|| wrong("true or false"));
        let key = self.key().to_owned();
        if !is_name(name) {
            return Err(format!("`{}` is no option of dockerd", self.written));
        }
        let kind = kind(name);
        if self.is_bare() && !matches!(kind, None | Some(Kind::Switch)) {
            return Err(format!("`{name}` needs a value"));
        }
        let pair = |want: &str| value.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(|| wrong(want));
        match kind {
            _ if self.is_bare() => insert(keys, key, json!(true)),
            None => insert(keys, key, parsed_switch(value).map_or_else(|| json!(value), Value::Bool)),
            Some(Kind::Text) => insert(keys, key, json!(value)),
            Some(Kind::Number) => {
                let number: i64 = value.parse().map_err(|_| wrong("a whole number"))?;
                insert(keys, key, json!(number));
            }
            Some(Kind::Switch) => insert(keys, key, json!(switch()?)),
            Some(Kind::List) => list(keys, key).push(json!(value)),
            Some(Kind::Texts) => {
                // dockerd takes one without `=` as well.
                let (name, text) = value.split_once('=').unwrap_or((value, ""));
                insert(object(keys, key), name.to_owned(), json!(text));
            }
            Some(Kind::Switches) => {
                let want = "a name with `=true` or `=false`";
                let (name, on) = pair(want)?;
                insert(object(keys, key), name.to_owned(), json!(parsed_switch(on).ok_or_else(|| wrong(want))?));
            }
            Some(Kind::Ulimits) => {
                let want = "written like `nofile=1024:2048`";
                let (name, limits) = pair(want)?;
                let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
                let number = |text: &str| text.parse::<i64>().map_err(|_| wrong(want));
                let limit = json!({ "Name": name, "Hard": number(hard)?, "Soft": number(soft)? });
                insert(object(keys, key), name.to_owned(), limit);
            }
            Some(Kind::Pools) => {
                let pool = pool(value).ok_or_else(|| wrong("written like `base=172.30.0.0/16,size=24`"))?;
                list(keys, key).push(pool);
            }
            Some(Kind::Runtimes) => {
                let (name, path) = pair("written like `name=/path`")?;
                insert(object(keys, key), name.to_owned(), json!({ "path": path }));
            }
            Some(Kind::NetworkOptions) => {
                let want = "written like `bridge=name=value`";
                let (driver, option) = pair(want)?;
                let (name, text) = option.split_once('=').ok_or_else(|| wrong(want))?;
                insert(object(object(keys, key), driver.to_owned()), name.to_owned(), json!(text));
            }
            Some(Kind::Proxy) => insert(object(keys, key), name.clone(), json!(value)),
        }
        Ok(())
    }
}

/// What [`Flag::set`] reads as this key of daemon.json, one text for each flag, without its `--`; `None` when no
/// flags say the same.
#[must_use]
pub fn of_key(key: &str, value: &Value) -> Option<Vec<String>> {
    let known = FLAGS.iter().find(|(flag, of, _)| *of == key && *flag != "graph");
    let (flag, kind) = known.map_or((key, None), |(flag, _, kind)| (*flag, Some(*kind)));
    let one = |value: &str| argument(flag, value);
    let each = |line: fn(&String, &Value) -> Option<String>| {
        value.as_object()?.iter().map(|(name, value)| one(&line(name, value)?)).collect::<Option<Vec<String>>>()
    };
    match kind {
        None | Some(Kind::Text | Kind::Number | Kind::Switch) => match value {
            Value::String(text) => Some(vec![one(text)?]),
            Value::Bool(_) | Value::Number(_) => Some(vec![one(&value.to_string())?]),
            Value::Null | Value::Array(_) | Value::Object(_) => None,
        },
        Some(Kind::List) => value.as_array()?.iter().map(|item| one(item.as_str()?)).collect(),
        Some(Kind::Texts) => each(|name, text| Some(format!("{name}={}", text.as_str()?))),
        Some(Kind::Switches) => each(|name, on| Some(format!("{name}={}", on.as_bool()?))),
        Some(Kind::Ulimits) => each(|name, limit| {
            let (soft, hard) = (limit.get("Soft")?.as_i64()?, limit.get("Hard")?.as_i64()?);
            (limit.get("Name").is_none_or(|n| n == name)).then(|| format!("{name}={soft}:{hard}"))
        }),
        Some(Kind::Pools) => value
            .as_array()?
            .iter()
            .map(|pool| one(&format!("base={},size={}", pool.get("base")?.as_str()?, pool.get("size")?.as_i64()?)))
            .collect(),
        Some(Kind::Runtimes) => each(|name, runtime| {
            let path = runtime.get("path")?.as_str()?;
            (runtime.as_object()?.len() == 1).then(|| format!("{name}={path}"))
        }),
        Some(Kind::NetworkOptions) => {
            let drivers = value.as_object()?.iter().map(|(driver, options)| {
                let line = |(name, text): (&String, &Value)| one(&format!("{driver}={name}={}", text.as_str()?));
                options.as_object()?.iter().map(line).collect::<Option<Vec<String>>>()
            });
            Some(drivers.collect::<Option<Vec<_>>>()?.concat())
        }
        Some(Kind::Proxy) => {
            let is_proxy = |name: &str| self::kind(name) == Some(Kind::Proxy);
            let line = |(name, text): (&String, &Value)| argument(name, text.as_str().filter(|_| is_proxy(name))?);
            value.as_object()?.iter().map(line).collect()
        }
    }
}

fn is_name(flag: &str) -> bool {
    !flag.is_empty() && flag.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// `flag=value`, quoted where a line of systemd would take it for something else.
fn argument(flag: &str, value: &str) -> Option<String> {
    if value.contains(char::is_control) || !is_name(flag) {
        return None;
    }
    if value.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c)) {
        return Some(format!("{flag}=\"{}\"", value.replace('\\', r"\\").replace('"', "\\\"")));
    }
    Some(format!("{flag}={value}"))
}

fn insert(keys: &mut Map<String, Value>, key: String, value: Value) {
    keys.insert(key, value);
}

/// The list at a key, made if there is none.
fn list(keys: &mut Map<String, Value>, key: String) -> &mut Vec<Value> {
    let value = keys.entry(key).or_insert_with(|| json!([]));
    if !value.is_array() {
        *value = json!([]);
    }
    value.as_array_mut().expect("it was made a list just now")
}

/// The object at a key, made if there is none.
fn object(keys: &mut Map<String, Value>, key: String) -> &mut Map<String, Value> {
    let value = keys.entry(key).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    value.as_object_mut().expect("it was made an object just now")
}

fn pool(text: &str) -> Option<Value> {
    let part = |name: &str| text.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
    let size: i64 = part("size")?.parse().ok()?;
    (text.split(',').count() == 2).then(|| part("base").map(|base| json!({ "base": base, "size": size })))?
}

/// As Go reads it (`strconv.ParseBool`).
fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Where a number or a text is as likely.
fn parsed_switch(text: &str) -> Option<bool> {
    text.parse().ok()
}

/// A word of a command line.
pub(crate) struct Word {
    /// Without quotes.
    pub(crate) text: String,
    /// With them.
    pub(crate) written: String,
}

/// Words as systemd takes them apart: quotes may stand anywhere, a backslash takes a quote or itself literally
/// (systemd.syntax(7)).
pub(crate) fn words(command: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word = Word { text: String::new(), written: String::new() };
    let mut open = None;
    let mut chars = command.chars().peekable();
    while let Some(c) = chars.next() {
        if open.is_none() && c.is_whitespace() {
            if !word.written.is_empty() {
                words.push(std::mem::replace(&mut word, Word { text: String::new(), written: String::new() }));
            }
            continue;
        }
        word.written.push(c);
        match (c, open) {
            ('\\', _) if chars.peek().is_some_and(|next| "\"'\\nt".contains(*next)) => {
                let next = chars.next().expect("it was there just now");
                word.written.push(next);
                word.text.push(match next {
                    'n' => '\n',
                    't' => '\t',
                    literal => literal,
                });
            }
            ('"' | '\'', None) => open = Some(c),
            (quote, Some(opened)) if quote == opened => open = None,
            (plain, _) => word.text.push(plain),
        }
    }
    if !word.written.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
#[path = "flag_tests.rs"]
mod tests;
