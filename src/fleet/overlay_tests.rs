use super::*;
use serde_json::{Value as Json, json};

fn sources(texts: &[&str]) -> Vec<Source> {
    texts.iter().enumerate().map(|(n, text)| Source::new(format!("{n}.yaml"), *text)).collect()
}

/// The document, or what is wrong as `FILE:LINE:COLUMN MESSAGE; HELP`.
fn composed(texts: &[&str]) -> Result<Json, Vec<String>> {
    let sources = sources(texts);
    let mut problems = Problems::default();
    let node = compose(&sources, &mut problems);
    if problems.is_empty() {
        return Ok(node.unwrap().to_json());
    }
    let all = super::super::FleetProblems::among(&sources, problems);
    let told = all.problems().iter().map(|p| {
        let (line, column) = all.line_and_column(p).unwrap_or_default();
        format!("{}:{line}:{column} {p}; {}", all.file_of(p).unwrap_or("-"), p.help.clone().unwrap_or_default())
    });
    Err(told.collect())
}

/// Pain 1: a file for what all environments share, one for what each has of its own.
#[test]
fn later_wins_mappings_merge_and_lists_replace() {
    let base = "fleet: shop\ndefaults: { driver: lab, tls-names: [a, b] }\nhosts:\n  web: { count: 2, engine: { labels: { tier: web, env: dev } } }\n  db:\n";
    let prod = "defaults: { tls-names: [c] }\nhosts:\n  web: { count: 9, engine: { labels: { env: prod } } }\n  cache: { depends_on: [db] }\n";
    assert_eq!(
        composed(&[base, prod]),
        Ok(json!({
            "fleet": "shop",
            "defaults": { "driver": "lab", "tls-names": ["c"] },
            "hosts": {
                "web": { "count": 9, "engine": { "labels": { "tier": "web", "env": "prod" } } },
                "db": null,
                "cache": { "depends_on": ["db"] },
            },
        }))
    );
}

#[test]
fn null_removes_and_nothing_changes_nothing() {
    let base = "a: { x: 1, y: { z: 2 } }\nb: 3\nc: [1]\n";
    assert_eq!(composed(&[base, "a: { x: null, y: }\nb: ~\n"]), Ok(json!({ "a": { "y": { "z": 2 } }, "c": [1] })));
    assert_eq!(composed(&[base, "a:\nd: null"]).unwrap_err().len(), 1);
    // Removed by one, added again by the next.
    assert_eq!(composed(&[base, "a: null", "a: { q: 1 }"]), Ok(json!({ "b": 3, "c": [1], "a": { "q": 1 } })));
    // A value can become a mapping and the other way round; what reads it says whether that is right.
    assert_eq!(composed(&[base, "a: 1\nb: { x: 1 }"]), Ok(json!({ "a": 1, "b": { "x": 1 }, "c": [1] })));
    // Lists of mappings are replaced as a whole.
    assert_eq!(composed(&["h: [{ a: 1 }, { b: 2 }]", "h: [{ a: 3 }]"]), Ok(json!({ "h": [{ "a": 3 }] })));
}

#[test]
fn what_is_wrong_names_its_file() {
    assert_eq!(
        composed(&["hosts:\n  web: {}\n", "hosts:\n  wbe: null\n"]),
        Err(vec![
            "1.yaml:2:3 there is no `wbe` to remove; did you mean `web`? leave it out; for a section with nothing in it write `wbe: {}`"
                .to_owned()
        ])
    );
    // Both files are told about at once.
    let wrong = composed(&["a: [", "b: 1\nb: 2\n"]).unwrap_err();
    assert!(wrong[0].starts_with("0.yaml:") && wrong[1].starts_with("1.yaml:2:1 `b` is here twice"), "{wrong:?}");
}

#[test]
fn places_are_those_of_the_file_a_value_came_from() {
    let sources = sources(&["a: { x: 1, y: 2 }\n", "# later\na: { y: 3 }\n"]);
    let root = compose(&sources, &mut Problems::default()).unwrap();
    let a = root.entry("a").unwrap();
    let at = |node: &Node| (node.at.file(), &sources[node.at.file()].text[node.at.start()..node.at.end()]);
    assert_eq!(at(&a.node.entry("x").unwrap().node), (0, "1"));
    assert_eq!(at(&a.node.entry("y").unwrap().node), (1, "3"));
    assert_eq!(a.key_at.file(), 0, "a merged mapping is where it was first");
}

#[test]
fn a_file_that_is_too_large_is_refused_before_it_is_read() {
    let text = " ".repeat(MAX_BYTES + 1);
    let wrong = composed(&["a: 1", &text]).unwrap_err();
    assert!(wrong[0].starts_with("1.yaml:1:1 the file has more than 32 MiB"), "{wrong:?}");
}
