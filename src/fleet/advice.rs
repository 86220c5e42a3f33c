//! What problems of a KDL file say to write, in KDL: they say it in YAML, which is the main form.

use super::{kdl_write, node::Value, parse, problem::Problems};

/// The same advice for a KDL file.
pub(super) fn in_kdl(advice: &str) -> String {
    let lines = advice.split('\n').map(|line| {
        if !line.contains('`')
            && let Some(kdl) = translated(line)
        {
            return kdl;
        }
        let parts = line.split('`').enumerate();
        let parts =
            parts.map(|(n, part)| if n % 2 == 1 { translated(part) } else { None }.unwrap_or_else(|| part.to_owned()));
        parts.collect::<Vec<_>>().join("`")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// A mapping in YAML as KDL; `None`: it is something else.
fn translated(code: &str) -> Option<String> {
    let key = code.split(':').next()?;
    let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '…'));
    let rest = code.get(key.len() + 1..)?;
    if !is_key || !(rest.is_empty() || rest.starts_with(' ')) {
        return None;
    }
    // `…` in a mapping stands for more of it.
    let node = parse::parse(0, &code.replace("{ … }", "{ …: }"), &mut Problems::default())?;
    let Value::Map(entries) = &node.value else { return None };
    let lines = entries.iter().map(|e| kdl_write::line(&e.key, &e.node)).collect::<Option<Vec<_>>>()?;
    Some(lines.join("; ").replace("\"…\"", "…"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_is_in_the_form_of_the_file() {
        for (yaml, kdl) in [
            ("add `driver: …` to the host", "add `driver …` to the host"),
            ("write `labels: { name: value }`", "write `labels name=value`"),
            ("write it under `engine`: `engine: { labels: … }`", "write it under `engine`: `engine labels=…`"),
            ("write `hosts: { name: { … } }`", "write `hosts { name { … } }`"),
            ("as `hosts: { web: {} }`; for none write `hosts: {}`", "as `hosts { web {} }`; for none write `hosts {}`"),
            (
                "for example:\nfleet: shop\nhosts: { web: { driver: nspawn } }",
                "for example:\nfleet shop\nhosts { web driver=nspawn }",
            ),
            ("write `${var.name}` or `https://x`; known: `a`", "write `${var.name}` or `https://x`; known: `a`"),
            ("did you mean `x`? see: y", "did you mean `x`? see: y"),
            ("`source: script` needs `install-url`", "`source script` needs `install-url`"),
        ] {
            assert_eq!(in_kdl(yaml), kdl);
        }
    }
}
