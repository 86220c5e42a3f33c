//! Names of the hosts of a fleet, as far as its files say them: also where values are missing, or something is wrong.

use super::{
    Inputs, Source,
    node::{Entry, Meaning, Value},
    overlay,
    problem::Problems,
    resolve::MAX_MACHINES,
    vars,
};
use crate::name::MachineName;

/// The hosts that the files name, in file order. Who completes a command line has no values for variables yet.
#[must_use]
pub fn host_names(files: &[Source], inputs: &Inputs) -> Vec<MachineName> {
    let mut problems = Problems::default();
    let Some(mut root) = overlay::compose(files, &mut problems) else { return Vec::new() };
    vars::expand(&mut root, Vec::new(), inputs, &mut problems);
    let hosts = root.entry("hosts").map(|e| e.node.entries()).unwrap_or_default();
    hosts.iter().flat_map(machines).take(MAX_MACHINES).collect()
}

/// The machines a host stands for; none where their number is not known.
fn machines(host: &Entry) -> Vec<MachineName> {
    let count = host.node.entry("count").map(|e| match &e.node.value {
        Value::Scalar(scalar) => match scalar.meaning() {
            Meaning::Whole(n) => usize::try_from(n).unwrap_or_default().min(MAX_MACHINES),
            _ => 0,
        },
        Value::List(_) | Value::Map(_) => 0,
    });
    match count {
        None => MachineName::new(host.key.as_str()).into_iter().collect(),
        Some(count) => (1..=count).filter_map(|n| MachineName::new(format!("{}-{n}", host.key)).ok()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_known_before_variables_have_values() {
        let text = "vars: { image: , n: 2, m: }\nhosts:\n  web: { count: \"${var.n}\", image: \"${var.image}\" }\n  db: { drver: x }\n  api: { count: \"${var.m}\" }\n  \"no name\": {}\n";
        let names = |text: &str| {
            let found = host_names(&[Source::new("x.yaml", text)], &Inputs::default());
            found.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(names(text), "web-1 web-2 db");
        assert_eq!(names("hosts: ["), "");
    }
}
