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

/// Whether a unit takes away what units before it have set.
pub(super) fn resets_environment(text: &str) -> bool {
    assignments(text).iter().any(|(key, value)| key == "Environment" && value.is_empty())
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
}
