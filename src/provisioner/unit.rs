//! Reading what matters here of systemd units: the command line a service starts with (systemd.service(5)).

/// The last `ExecStart=` of a unit or drop-in, its continued lines joined (systemd.syntax(7)).
///
/// `None` when it has none. An empty assignment resets what came before.
pub(super) fn exec_start(text: &str) -> Option<String> {
    let last = assignments(text).into_iter().rfind(|(key, _)| key == "ExecStart")?.1;
    let command = last.trim_start_matches(['@', '-', ':', '+', '!']).trim();
    (!command.is_empty()).then(|| command.to_owned())
}

/// The `Environment=` and `EnvironmentFile=` lines, as they are written.
pub(super) fn environment(text: &str) -> Vec<String> {
    let lines =
        assignments(text).into_iter().filter(|(key, value)| key.starts_with("Environment") && !value.is_empty());
    lines.map(|(key, value)| format!("{key}={value}")).collect()
}

/// Assignments in order, of all sections: `ExecStart` stands in one section only.
fn assignments(text: &str) -> Vec<(String, String)> {
    let mut logical: Vec<String> = Vec::new();
    let mut continued = false;
    for line in text.lines() {
        let line = line.trim();
        if line.starts_with(['#', ';']) {
            continue;
        }
        let (part, more) = line.strip_suffix('\\').map_or((line, false), |part| (part.trim_end(), true));
        match logical.last_mut().filter(|_| continued) {
            Some(_) if part.is_empty() => {}
            Some(last) => last.extend([" ", part]),
            None => logical.push(part.to_owned()),
        }
        continued = more;
    }
    let pairs = logical.iter().filter_map(|line| line.split_once('='));
    pairs.map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())).collect()
}

/// The command line out of `{ path=… ; argv[]=/usr/bin/dockerd -H fd:// ; ignore_errors=no ; … }`.
pub(super) fn shown_argv(shown: &str) -> Option<String> {
    let (_, rest) = shown.split_once("argv[]=")?;
    let argv = rest.split(" ; ").next()?.trim();
    (!argv.is_empty()).then(|| argv.to_owned())
}

/// One option of dockerd's command line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Flag {
    /// Its long name: `host` for `-H`.
    pub(super) name: String,
    /// Its value, unquoted; empty for a switch.
    pub(super) value: String,
    /// How it is written on the line.
    pub(super) written: String,
}

/// Switches of dockerd that take no value from the next word (dockerd's `--help`: those without a type).
const SWITCHES: &[&str] = &[
    "tlsverify",
    "tls",
    "debug",
    "live-restore",
    "experimental",
    "icc",
    "ip-forward",
    "ip-masq",
    "iptables",
    "ip6tables",
    "ipv6",
    "init",
    "raw-logs",
    "rootless",
    "selinux-enabled",
    "userland-proxy",
    "no-new-privileges",
    "validate",
    "disable-legacy-registry",
    "cri-containerd",
];

/// The options of a command line of dockerd, without its path and without plain words such as `$DOCKER_OPTS`.
pub(super) fn flags(command: &str) -> Vec<Flag> {
    let mut flags = Vec::new();
    let mut words = words(command).into_iter().skip(1).peekable();
    while let Some(word) = words.next() {
        let name = match word {
            "-H" => "host",
            "-D" => "debug",
            "-l" => "log-level",
            "-g" => "graph",
            long => match long.strip_prefix("--") {
                Some(name) => name,
                None => match long.strip_prefix("-H") {
                    Some(value) => {
                        let value = value.trim_start_matches('=');
                        flags.push(Flag { name: "host".to_owned(), value: unquoted(value), written: word.to_owned() });
                        continue;
                    }
                    None => continue,
                },
            },
        };
        if let Some((name, value)) = name.split_once('=') {
            flags.push(Flag { name: name.to_owned(), value: unquoted(value), written: word.to_owned() });
        } else if SWITCHES.contains(&name) {
            flags.push(Flag { name: name.to_owned(), value: String::new(), written: word.to_owned() });
        } else {
            let value = words.next_if(|next| !next.starts_with('-')).unwrap_or_default();
            let written = format!("{word} {value}").trim_end().to_owned();
            flags.push(Flag { name: name.to_owned(), value: unquoted(value), written });
        }
    }
    flags
}

/// Words as they are written: a blank within quotes ends none.
fn words(command: &str) -> Vec<&str> {
    let mut open = None;
    let ends = |c: char| {
        match open {
            Some(quote) if c == quote => open = None,
            None if matches!(c, '"' | '\'') => open = Some(c),
            _ => {}
        }
        open.is_none() && c.is_whitespace()
    };
    command.split(ends).filter(|word| !word.is_empty()).collect()
}

fn unquoted(value: &str) -> String {
    value.trim_matches(['"', '\'']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_exec_start_counts_and_lines_are_joined() {
        let unit = "[Service]\nExecStart=/old\nExecStart=\n# note\nExecStart=-/usr/bin/dockerd -H fd:// \\\n  # inner\n  --x \\\n  $OPTS\nRestart=always\n";
        assert_eq!(exec_start(unit).as_deref(), Some("/usr/bin/dockerd -H fd:// --x $OPTS"));
        assert_eq!(exec_start("[Service]\nExecStart=\n"), None);
        assert_eq!(exec_start(""), None);
    }

    #[test]
    fn systemctl_show_gives_the_line_in_force() {
        let shown =
            "{ path=/usr/sbin/dockerd ; argv[]=/usr/sbin/dockerd -H fd:// $DOCKER_OPTS ; ignore_errors=no ; pid=1 }";
        assert_eq!(shown_argv(shown).as_deref(), Some("/usr/sbin/dockerd -H fd:// $DOCKER_OPTS"));
        assert_eq!(shown_argv(""), None);
    }

    #[test]
    fn flags_are_read_in_every_spelling() {
        let line = "/usr/bin/dockerd -H tcp://0.0.0.0:2376 -Hunix:///x --host=fd:// --tlsverify --label a=b --bip=10.0.0.1/24 --log-opt \"tag=a b\" $DOCKER_OPTS";
        let found: Vec<(String, String)> = flags(line).into_iter().map(|f| (f.name, f.value)).collect();
        let want = [
            ("host", "tcp://0.0.0.0:2376"),
            ("host", "unix:///x"),
            ("host", "fd://"),
            ("tlsverify", ""),
            ("label", "a=b"),
            ("bip", "10.0.0.1/24"),
            ("log-opt", "tag=a b"),
        ];
        assert_eq!(found, want.map(|(a, b)| (a.to_owned(), b.to_owned())));
    }
}
