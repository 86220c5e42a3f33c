//! Files of values for variables: YAML or KDL when their names say so, else lines of `NAME=VALUE`.

use super::{
    node::{Entry, Node, Place, Scalar, Style, Value},
    overlay,
    problem::{Code, Problem, Problems},
    source::{Form, Source},
};
use std::collections::HashMap;

/// Reads the values of a file. `None`: the problems say why there are none.
pub(super) fn read(file: u16, source: &Source, problems: &mut Problems) -> Option<Node> {
    if Form::of_name(&source.name).is_none() {
        return Some(lines(file, &source.text, problems));
    }
    let node = overlay::read(file, source, problems)?;
    if !matches!(node.value, Value::Map(_)) {
        let problem = Problem::new(Code::WrongType, "a file of variables must be a mapping")
            .at(node.at, format!("this is {}", node.noun()))
            .help("write one variable a line, as `name: value`");
        problems.push(problem);
        return None;
    }
    Some(node)
}

/// `NAME=VALUE`, one a line. Empty lines and those that begin with `#` say nothing; quotes around a value go.
fn lines(file: u16, text: &str, problems: &mut Problems) -> Node {
    let mut entries: Vec<Entry> = Vec::new();
    let mut seen: HashMap<&str, Place> = HashMap::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let body = line.trim_start_matches(['\u{feff}', ' ', '\t']);
        let begin = start + line.len() - body.len();
        start += line.len();
        let trimmed = body.trim_end();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let Some((name, value)) = trimmed.split_once('=').filter(|(name, _)| !name.trim_end().is_empty()) else {
            let problem = Problem::new(Code::Syntax, "this is not `NAME=VALUE`")
                .at(Place::new(file, begin, begin + trimmed.len()), "a name and a value are wanted here")
                .help("write one variable a line, as `size=2GiB`; a file in YAML or KDL is called so: `vars.yaml`, `vars.kdl`");
            problems.push(problem);
            continue;
        };
        let key_at = Place::new(file, begin, begin + name.trim_end().len());
        let name = name.trim_end();
        if let Some(first) = seen.insert(name, key_at) {
            let problem = Problem::new(Code::DuplicateKey, format!("`{name}` is here twice"))
                .at(key_at, "again here")
                .at(first, "first here")
                .help("rename or remove one: only one of them could count");
            problems.push(problem);
            continue;
        }
        let at = Place::new(file, begin + trimmed.len() - value.trim_start().len(), begin + trimmed.len());
        let value = value.trim_start();
        let quoted = ['"', '\''].iter().find_map(|q| value.strip_prefix(*q)?.strip_suffix(*q));
        let text = quoted.unwrap_or(value).to_owned();
        let style = if quoted.is_some() { Style::Quoted } else { Style::Given };
        // A reference is a text here, as on the command line: what calls us may have it from anywhere.
        let text = text.replace("${", "$${");
        entries.push(Entry {
            key: name.to_owned(),
            key_at,
            node: Node { at, value: Value::Scalar(Scalar { text, style }) },
        });
    }
    Node { at: Place::new(file, 0, 0), value: Value::Map(entries) }
}

#[cfg(test)]
mod tests {
    use super::super::{FleetProblems, Inputs, load_all};
    use super::*;
    use std::collections::BTreeMap;

    const FLEET: &str = "vars: { n: 1, size: }\nfleet: x\nhosts: { web: { driver: nspawn, memory: \"${var.size}\", engine: { labels: { n: \"${var.n}\" } } } }\n";

    fn load(name: &str, text: &str, vars: &[(&str, &str)]) -> Result<String, Vec<String>> {
        let files = [Source::new("fleet.yaml", FLEET)];
        let vars = vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let inputs = Inputs { vars, env: BTreeMap::from([("E".to_owned(), "7".to_owned())]), default_name: None };
        let told = |all: FleetProblems| -> Vec<String> {
            let place = |p| all.line_and_column(p).map_or(String::new(), |(l, c)| format!("{l}:{c}"));
            all.problems().iter().map(|p| format!("{}:{} {p}", all.file_of(p).unwrap_or("-"), place(p))).collect()
        };
        let fleet =
            load_all(&files, &[Source::new(name, text)], &inputs, &crate::driver::Drivers::built_in()).map_err(told)?;
        let host = fleet.hosts.values().next().unwrap();
        Ok(format!("{} {}", host.options["memory"], host.engine.as_ref().unwrap().labels["n"]))
    }

    #[test]
    fn the_three_forms_say_the_same() {
        for (name, text) in [
            ("v.yaml", "size: 1GiB\nn: two\n"),
            ("v.env", "# sizes\n\nsize = 1GiB\n  n='two'\n"),
            ("v", "\u{feff}size=\"1GiB\"\r\nn=two"),
        ] {
            assert_eq!(load(name, text, &[]), Ok("1073741824 two".to_owned()), "{name}");
            assert_eq!(load(name, text, &[("n", "3")]), Ok("1073741824 3".to_owned()), "the command line wins");
        }
        assert_eq!(load("v.yaml", "size: 1GiB\nn: \"${env.E}\"\n", &[]), Ok("1073741824 7".to_owned()));
        assert_eq!(
            load("v.env", "size=1GiB\nn=${env.E}\n", &[]),
            Ok("1073741824 ${env.E}".to_owned()),
            "taken as it is"
        );
    }

    #[test]
    fn what_is_wrong_has_its_place() {
        for (name, text, want) in [
            ("v.env", "size=1\n\n nn=2\n", "v.env:3:2 nothing uses the given variable `nn`"),
            ("v.env", "size=1\nn\n", "v.env:2:1 this is not `NAME=VALUE`"),
            ("v.env", "size=1\nsize=2\n", "v.env:2:1 `size` is here twice"),
            ("v.env", "n=2\n", "fleet.yaml:1:15 variable `size` has no value"),
            ("v.yaml", "size:\n", "v.yaml:1:1 variable `size` has no value"),
            ("v.yaml", "size: [1]\n", "v.yaml:1:7 variable `size` must be a text, a number, true or false"),
            ("v.yaml", "[1]\n", "v.yaml:1:1 a file of variables must be a mapping"),
        ] {
            let told = load(name, text, &[]).unwrap_err();
            assert!(told.iter().any(|t| t == want), "{text:?}: {told:?}");
        }
        assert_eq!(load("v.env", "n=2\n", &[("size", "1GiB")]), Ok("1073741824 2".to_owned()));
    }
}
