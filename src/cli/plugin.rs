//! The docker client's plugin: `docker machine ls` calls `docker-machine machine ls`, docker's own options in front.
//!
//! Facts: docker/cli, `cli-plugins/manager/metadata.go`.

use serde_json::json;

/// What docker asks a plugin first.
const METADATA: &str = "docker-cli-plugin-metadata";

/// Options of docker that take a value. The others are switches; none of them means anything for machines.
const VALUED: [&str; 10] =
    ["--config", "-c", "--context", "-H", "--host", "-l", "--log-level", "--tlscacert", "--tlscert", "--tlskey"];
const SWITCHES: [&str; 4] = ["-D", "--debug", "--tls", "--tlsverify"];

/// The program as users of the plugin type it.
pub(super) const PROGRAM: &str = "docker machine";

/// The answer to docker's first question, if this is it.
pub(super) fn metadata(program: &str, words: &[String]) -> Option<String> {
    (program == "docker-machine" && words.get(1).is_some_and(|word| word == METADATA)).then(|| {
        json!({
            "SchemaVersion": "0.1.0",
            "Vendor": "machine",
            "Version": env!("CARGO_PKG_VERSION"),
            "ShortDescription": "Make and control Docker hosts",
            "URL": env!("CARGO_PKG_REPOSITORY"),
        })
        .to_string()
    })
}

/// What was typed after `docker machine`, with that in first place, if docker calls us.
pub(super) fn words(program: &str, words: &[String]) -> Option<Vec<String>> {
    if program != "docker-machine" {
        return None;
    }
    let mut rest = words.iter().skip(1).peekable();
    while let Some(word) = rest.next_if(|word| word.starts_with('-')) {
        let name = word.split('=').next().unwrap_or_default();
        if VALUED.contains(&name) {
            if !word.contains('=') {
                rest.next()?;
            }
        } else if !SWITCHES.contains(&name) {
            return None;
        }
    }
    let mut typed = vec![PROGRAM.to_owned()];
    // `docker help machine`, and what docker's completion asks.
    match rest.next_if(|word| *word == "help" || *word == "__complete").map(String::as_str) {
        Some("help") => typed.push("help".to_owned()),
        Some(_) => typed.extend(["complete".to_owned(), "--".to_owned()]),
        None => {}
    }
    if rest.next()? != "machine" {
        return None;
    }
    typed.extend(rest.cloned());
    Some(typed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn docker_calls_with_its_options_in_front() {
        for (line, want) in [
            ("machine ls -q", Some("docker machine|ls|-q")),
            ("machine", Some("docker machine")),
            ("-D --context x --host=tcp://y machine env", Some("docker machine|env")),
            ("--tlskey k machine -s /x ls", Some("docker machine|-s|/x|ls")),
            ("help machine", Some("docker machine|help")),
            ("__complete machine ssh we", Some("docker machine|complete|--|ssh|we")),
            ("ls", None),
            ("-s machine ls", None),
            ("ssh machine", None),
            ("", None),
            ("-H", None),
        ] {
            let typed: Vec<String> =
                std::iter::once("docker-machine").chain(line.split_whitespace()).map(str::to_owned).collect();
            assert_eq!(words("docker-machine", &typed).map(|words| words.join("|")).as_deref(), want, "{line}");
            assert_eq!(words("machine", &typed), None);
        }
    }
}
