//! A fleet with its order as a graph: DOT for Graphviz, Mermaid for Markdown, SVG to look at.

use super::{Fleet, HostSpec};
use crate::{graph::Graph, name::MachineName};
use std::collections::BTreeMap;

/// Hosts that are drawn one by one; the layout of more takes seconds, and cannot be read.
const MOST: usize = 300;

/// The driver, and below it the hooks by their points.
fn label(host: &HostSpec) -> String {
    let hooks = host.hooks.0.iter().map(|(point, hooks)| {
        let names: Vec<&str> = hooks.iter().map(|hook| hook.name.as_str()).collect();
        format!("{point}: {}", names.join(", "))
    });
    [host.driver.clone()].into_iter().chain(hooks).collect::<Vec<_>>().join("\n")
}

fn order(fleet: &Fleet) -> Graph<MachineName, String> {
    let nodes: BTreeMap<MachineName, String> = fleet.hosts.iter().map(|(n, h)| (n.clone(), label(h))).collect();
    let edges = fleet.hosts.iter().flat_map(|(n, h)| h.depends_on.iter().map(move |d| (n.clone(), d.clone())));
    Graph::build(nodes, edges).expect("`load` refuses a fleet with a cycle")
}

/// A host, when it comes (1 is first), and its driver.
type Node = (MachineName, usize, String);
/// From earlier to later.
type Edge = (MachineName, MachineName);

fn parts(fleet: &Fleet) -> (Vec<Node>, Vec<Edge>) {
    let graph = order(fleet);
    let mut nodes = Vec::new();
    for (wave, names) in graph.waves().into_iter().enumerate() {
        for name in names {
            let driver = graph.get(&name).cloned().unwrap_or_default();
            nodes.push((name, wave + 1, driver));
        }
    }
    let edges = nodes.iter().flat_map(|(n, ..)| graph.needs(n).map(|e| (e.clone(), n.clone())).collect::<Vec<_>>());
    let edges = edges.collect();
    (nodes, edges)
}

/// The fleet in the DOT language (graphviz.org).
#[must_use]
pub fn dot(fleet: &Fleet) -> String {
    let (nodes, edges) = parts(fleet);
    let mut out = format!("digraph \"{}\" {{\n  rankdir=LR;\n  node [shape=box];\n", fleet.name);
    for (name, wave, driver) in &nodes {
        out.push_str(&format!("  \"{name}\" [label=\"{wave}. {name}\\n{}\"];\n", driver.replace('\n', "\\n")));
    }
    for (earlier, later) in &edges {
        out.push_str(&format!("  \"{earlier}\" -> \"{later}\";\n"));
    }
    out.push_str("}\n");
    out
}

/// The fleet as a Mermaid flowchart (mermaid.js.org), which Markdown viewers draw.
#[must_use]
pub fn mermaid(fleet: &Fleet) -> String {
    let (nodes, edges) = parts(fleet);
    // Names may hold dots and dashes, which identifiers of Mermaid may not.
    let ids: BTreeMap<&MachineName, String> =
        nodes.iter().enumerate().map(|(i, (n, ..))| (n, format!("n{i}"))).collect();
    let mut out = "flowchart LR\n".to_owned();
    for (name, wave, driver) in &nodes {
        out.push_str(&format!("  {}[\"{wave}. {name}<br/>{}\"]\n", ids[name], driver.replace('\n', "<br/>")));
    }
    for (earlier, later) in &edges {
        out.push_str(&format!("  {} --> {}\n", ids[earlier], ids[later]));
    }
    out
}

/// The fleet as a picture.
///
/// # Errors
/// When there are too many hosts for one.
pub fn svg(fleet: &Fleet) -> Result<String, String> {
    use layout::{backends::svg::SVGWriter, gv};
    if fleet.hosts.len() > MOST {
        return Err(format!(
            "{} hosts are too many for a picture (at most {MOST}); use --format dot",
            fleet.hosts.len()
        ));
    }
    let parsed = gv::DotParser::new(&dot(fleet)).process().map_err(|e| format!("cannot lay out the graph: {e}"))?;
    let mut builder = gv::GraphBuilder::new();
    builder.visit_graph(&parsed);
    let mut writer = SVGWriter::new();
    builder.get().do_it(false, false, false, &mut writer);
    Ok(writer.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fleet::{Inputs, load};

    fn fleet(hosts: &str) -> Fleet {
        let text = format!("fleet: shop\ndefaults: {{ driver: nspawn }}\nhosts:\n{hosts}");
        load("fleet.yaml", &text, &Inputs::default(), &crate::driver::Drivers::built_in()).unwrap()
    }

    #[test]
    fn hosts_stand_with_when_they_come() {
        let fleet = fleet("  db.a: {}\n  web: { count: 2, depends_on: [db.a] }\n");
        insta::assert_snapshot!(dot(&fleet), @r#"
        digraph "shop" {
          rankdir=LR;
          node [shape=box];
          "db.a" [label="1. db.a\nnspawn"];
          "web-1" [label="2. web-1\nnspawn"];
          "web-2" [label="2. web-2\nnspawn"];
          "db.a" -> "web-1";
          "db.a" -> "web-2";
        }
        "#);
        insta::assert_snapshot!(mermaid(&fleet), @r#"
        flowchart LR
          n0["1. db.a<br/>nspawn"]
          n1["2. web-1<br/>nspawn"]
          n2["2. web-2<br/>nspawn"]
          n0 --> n1
          n0 --> n2
        "#);
        let svg = svg(&fleet).unwrap();
        assert!(svg.starts_with("<?xml") && svg.trim_end().ends_with("</svg>"));
        assert!(["db.a", "web-1", "web-2"].iter().all(|name| svg.contains(name)), "{svg}");
    }

    #[test]
    fn hooks_stand_with_their_points() {
        let fleet =
            fleet("  db: { hooks: { post-create: [{ name: dns, run: x }, { run: y }], pre-rm: [{ run: z }] } }\n");
        assert!(
            dot(&fleet).contains(r#""db" [label="1. db\nnspawn\npre-rm: 1\npost-create: dns, 2"];"#),
            "{}",
            dot(&fleet)
        );
        let want = r#"["1. db<br/>nspawn<br/>pre-rm: 1<br/>post-create: dns, 2"]"#;
        assert!(mermaid(&fleet).contains(want), "{}", mermaid(&fleet));
    }

    #[test]
    fn a_picture_that_nobody_could_read_is_refused_at_once() {
        let error = svg(&fleet("  web: { count: 301 }\n")).unwrap_err();
        assert_eq!(error, "301 hosts are too many for a picture (at most 300); use --format dot");
    }
}
