//! Who holds a lock, for others who meet it. What a run does is told by its command and by the names it is about, never
//! by its command line, which may hold secrets.

use crate::{
    clock::Timestamp,
    name::{FleetName, MachineName},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// So many names are kept: enough for a person, and a lock is read before every write.
const NAMES: usize = 8;
/// Longer words are no names of commands.
const LONGEST: usize = 32;
/// What is shown of a command that has no name we could show.
const UNKNOWN: &str = "another command";
/// Commands that took locks when whole command lines were still written.
const EARLIER: [&str; 15] = [
    "adopt",
    "apply",
    "create",
    "destroy",
    "import",
    "kill",
    "provision",
    "regenerate-certs",
    "restart",
    "rm",
    "snapshot",
    "start",
    "stop",
    "trust",
    "upgrade",
];

/// Who holds a lock.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(from = "Written", into = "Written")]
pub struct Holder {
    /// The user and host, as `ci@build-7`.
    pub who: String,
    /// Process id on that host.
    pub pid: u32,
    /// What is running.
    pub doing: Doing,
    /// Since when.
    pub since: Timestamp,
}

/// What a run does: `apply shop`, `rm web-1`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Doing {
    command: String,
    names: Vec<String>,
    /// How many further names there are.
    more: usize,
}

impl Doing {
    /// A command on a fleet.
    #[must_use]
    pub fn fleet(command: &'static str, fleet: &FleetName) -> Self {
        Self { command: command.to_owned(), names: vec![fleet.to_string()], more: 0 }
    }

    /// A command on machines.
    #[must_use]
    pub fn machines<'a>(command: &'static str, machines: impl IntoIterator<Item = &'a MachineName>) -> Self {
        let mut machines = machines.into_iter();
        let names = machines.by_ref().take(NAMES).map(ToString::to_string).collect();
        Self { command: command.to_owned(), names, more: machines.count() }
    }

    /// Of the command line that an earlier version wrote. Any of its words may be a secret, so it is shown by the name of
    /// a command, if it holds one.
    fn earlier(line: &str) -> Self {
        let known = line.split_whitespace().find(|word| EARLIER.contains(word));
        Self { command: known.unwrap_or(UNKNOWN).to_owned(), names: Vec::new(), more: 0 }
    }
}

impl fmt::Display for Doing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.command)?;
        self.names.iter().try_for_each(|name| write!(f, " {name}"))?;
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

impl Holder {
    /// For messages.
    #[must_use]
    pub fn describe(&self) -> String {
        format!("{} (pid {}, `{}`, since {})", self.who, self.pid, self.doing, self.since)
    }
}

/// A holder as its file has it. Earlier versions wrote no names and the whole command line; they show `command` of ours.
#[derive(Deserialize, Serialize)]
struct Written {
    who: String,
    pid: u32,
    command: String,
    #[serde(default)]
    names: Option<Vec<String>>,
    #[serde(default)]
    more: usize,
    since: Timestamp,
}

impl From<Holder> for Written {
    fn from(Holder { who, pid, doing: Doing { command, names, more }, since }: Holder) -> Self {
        Self { who, pid, command, names: Some(names), more, since }
    }
}

impl From<Written> for Holder {
    fn from(Written { who, pid, command, names, more, since }: Written) -> Self {
        let doing = match names {
            None => Doing::earlier(&command),
            Some(names) => {
                let is_name = |b: u8| b.is_ascii_lowercase() || b == b'-';
                let good = !command.is_empty() && command.len() <= LONGEST && command.bytes().all(is_name);
                let command = if good { command } else { UNKNOWN.to_owned() };
                let is_legal = |name: &String| MachineName::new(name).is_ok() || FleetName::new(name).is_ok();
                Doing { command, names: names.into_iter().filter(is_legal).take(NAMES).collect(), more }
            }
        };
        Self { who, pid, doing, since }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(text: &str) -> MachineName {
        MachineName::new(text).unwrap()
    }

    fn read(text: &str) -> Holder {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn a_run_is_told_by_its_command_and_names() {
        let shop = FleetName::new("shop").unwrap();
        assert_eq!(Doing::fleet("apply", &shop).to_string(), "apply shop");
        assert_eq!(Doing::machines("rm", &[machine("web-1"), machine("web-2")]).to_string(), "rm web-1 web-2");
        let many: Vec<_> = (1..=1000).map(|n| machine(&format!("m{n}"))).collect();
        assert_eq!(Doing::machines("stop", &many).to_string(), "stop m1 m2 m3 m4 m5 m6 m7 m8 and 992 more");
    }

    #[test]
    fn a_holder_reads_back() {
        let doing = Doing::machines("rm", &[machine("web-1")]);
        let holder = Holder { who: "ci@b7".to_owned(), pid: 7, doing, since: Timestamp(0) };
        let text = serde_json::to_string(&holder).unwrap();
        assert_eq!(read(&text), holder);
        // What an earlier version reads.
        assert!(text.contains("\"command\":\"rm\""), "{text}");
    }

    /// C6: what an earlier version left is read, and nothing of its command line is shown but the command.
    #[test]
    fn a_command_line_of_an_earlier_version_is_not_shown() {
        for (line, want) in [
            ("machine apply fleet.yaml", "apply"),
            ("machine create -d digitalocean --digitalocean-access-token dop_v1_SECRET web-1", "create"),
            ("machine -s /x --tls-ca-key=/SECRET rm -y web-1", "rm"),
            ("docker-machine --SECRET regenerate-certs web", "regenerate-certs"),
            ("machine SECRET", UNKNOWN),
            ("", UNKNOWN),
        ] {
            let line = serde_json::to_string(line).unwrap();
            let holder = read(&format!(r#"{{"who":"a@b","pid":1,"command":{line},"since":"2027-01-15T08:00:00Z"}}"#));
            assert_eq!(holder.doing.to_string(), want, "{line}");
            assert!(!serde_json::to_string(&holder).unwrap().contains("SECRET"));
        }
        // Nor is what a file of another origin claims.
        let odd = r#"{"who":"a@b","pid":1,"command":"rm --token SECRET","names":["web","-SECRET x"],"since":"2027-01-15T08:00:00Z"}"#;
        assert_eq!(read(odd).doing.to_string(), "another command web");
        let names: Vec<String> = (1..=1000).map(|n| format!("m{n}")).collect();
        let names = serde_json::to_string(&names).unwrap();
        let many = format!(r#"{{"who":"a@b","pid":1,"command":"rm","names":{names},"since":"2027-01-15T08:00:00Z"}}"#);
        assert_eq!(read(&many).doing.to_string(), "rm m1 m2 m3 m4 m5 m6 m7 m8");
    }
}
