//! What an engine's client says, in the words of Go: scripts made for docker-machine look for them.

use super::{CliError, tell::chain};
use crate::docker::DockerError;

/// What TLS says, and what Go says.
const TLS: [(&str, &str); 8] = [
    ("not signed by the recorded authority", "x509: certificate signed by unknown authority"),
    ("its certificate has expired", "x509: certificate has expired or is not yet valid"),
    ("its certificate expired at", "x509: certificate has expired or is not yet valid"),
    ("its certificate is not valid yet", "x509: certificate has expired or is not yet valid"),
    ("its certificate is valid from", "x509: certificate has expired or is not yet valid"),
    ("refused our certificate (unknown CA)", "remote error: tls: unknown certificate authority"),
    ("refused our certificate (bad certificate)", "remote error: tls: bad certificate"),
    ("refused our certificate (certificate expired)", "remote error: tls: expired certificate"),
];

/// What went wrong with the engine at `place`, `host:port`. What Go has no word for stays as it is.
pub(super) fn words(error: &DockerError, place: &str) -> String {
    match error {
        DockerError::Unreachable { why, .. } if why.starts_with("no answer within") => {
            format!("dial tcp {place}: i/o timeout")
        }
        DockerError::Unreachable { why, .. } => format!("dial tcp {place}: connect: {why}"),
        DockerError::Tls { why, .. } => {
            let known = TLS.iter().find(|(ours, _)| why.contains(ours)).map(|(_, theirs)| (*theirs).to_owned());
            known.or_else(|| other_name(why)).unwrap_or_else(|| why.clone())
        }
        DockerError::Answer { .. } => error.to_string(),
    }
}

fn other_name(why: &str) -> Option<String> {
    let (host, names) = why.strip_prefix("its certificate is not for `")?.split_once("` but for ")?;
    Some(format!("x509: certificate is valid for {names}, not {host}"))
}

/// What Go's flag package says of it. A flag is named with one dash there.
pub(super) fn usage(error: &clap::Error) -> String {
    use clap::error::{ContextKind, ContextValue, ErrorKind};
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    };
    let flag = text(ContextKind::InvalidArg);
    let flag = flag.split([' ', '=']).next().unwrap_or_default().trim_start_matches('-');
    let value = text(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::UnknownArgument if !flag.is_empty() => format!("flag provided but not defined: -{flag}"),
        ErrorKind::InvalidValue if value.is_empty() => format!("flag needs an argument: -{flag}"),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue => {
            format!("invalid value {value:?} for flag -{flag}: parse error")
        }
        _ => chain(&CliError::Said { what: error.render().to_string(), help: None }).join(": ").trim_end().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::MachineName;

    #[test]
    fn failures_are_told_as_go_tells_them() {
        let machine = || MachineName::new("web-1").unwrap();
        let address = || "tcp://192.0.2.1:2376".to_owned();
        let tls = |why: &str| DockerError::Tls { machine: machine(), address: address(), why: why.to_owned() };
        let unreachable =
            |why: &str| DockerError::Unreachable { machine: machine(), address: address(), why: why.to_owned() };
        for (error, want) in [
            (unreachable("connection refused"), "dial tcp 192.0.2.1:2376: connect: connection refused"),
            (unreachable("no answer within 20 s"), "dial tcp 192.0.2.1:2376: i/o timeout"),
            (tls("its certificate is not signed by the recorded authority"), TLS[0].1),
            (
                tls("its certificate is not for `192.0.2.1` but for a, 10.0.0.1"),
                "x509: certificate is valid for a, 10.0.0.1, not 192.0.2.1",
            ),
            (tls("it refused our certificate (unknown CA)"), "remote error: tls: unknown certificate authority"),
            (tls("something else"), "something else"),
        ] {
            assert_eq!(words(&error, "192.0.2.1:2376"), want);
        }
    }
}
