//! What is copied or mounted, as it is typed: a path here, or one on a machine. It looks nothing up.

/// One side of a copy.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Operand {
    /// A path on this computer.
    Local(String),
    /// A path on a machine.
    Remote {
        /// Another user than the recorded one.
        user: Option<String>,
        /// The machine's name, if it is one.
        machine: String,
        /// As the machine reads it; empty: the home directory.
        path: String,
    },
}

impl Operand {
    /// Reads `path`, `[user@]machine:path` or `localhost:path`. A `/` in front of the first colon makes it a path, as
    /// does a letter on a computer with `drives`, unless it is the name of a machine.
    pub(super) fn parse(text: &str, drives: bool, is_machine: impl Fn(&str) -> bool) -> Self {
        let local = || Self::Local(text.to_owned());
        let Some((head, path)) = text.split_once(':') else { return local() };
        if head == "localhost" {
            return Self::Local(path.to_owned());
        }
        let is_drive = drives && head.len() == 1 && head.chars().all(|c| c.is_ascii_alphabetic());
        if head.is_empty() || head.contains('/') || drives && head.contains('\\') || is_drive && !is_machine(head) {
            return local();
        }
        let (user, machine) = head.rsplit_once('@').map_or((None, head), |(user, machine)| (Some(user), machine));
        Self::Remote {
            user: user.filter(|user| !user.is_empty()).map(str::to_owned),
            machine: machine.to_owned(),
            path: path.to_owned(),
        }
    }

    /// The name of the machine.
    pub(super) fn machine(&self) -> Option<&str> {
        match self {
            Self::Local(_) => None,
            Self::Remote { machine, .. } => Some(machine),
        }
    }

    /// As `scp`, `rsync` and `sshfs` take it, the machine by its name.
    pub(super) fn word(&self) -> String {
        match self {
            Self::Local(path) => local_word(path),
            Self::Remote { user: Some(user), machine, path } => format!("{user}@{machine}:{path}"),
            Self::Remote { user: None, machine, path } => format!("{machine}:{path}"),
        }
    }
}

/// A local path that no program takes for an option or for a path elsewhere.
pub(super) fn local_word(path: &str) -> String {
    let first = path.split('/').next().unwrap_or_default();
    if path.starts_with('-') || first.contains(':') { format!("./{path}") } else { path.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(path: &str) -> Operand {
        Operand::Local(path.to_owned())
    }

    fn remote(user: Option<&str>, machine: &str, path: &str) -> Operand {
        Operand::Remote { user: user.map(str::to_owned), machine: machine.to_owned(), path: path.to_owned() }
    }

    #[test]
    fn operands_are_read_as_docker_machine_reads_them_or_kinder() {
        for (text, want) in [
            ("file", local("file")),
            ("a b'\"*?", local("a b'\"*?")),
            ("web:/etc/passwd", remote(None, "web", "/etc/passwd")),
            ("web:", remote(None, "web", "")),
            ("web:a:b", remote(None, "web", "a:b")),
            ("me@web:x y", remote(Some("me"), "web", "x y")),
            ("a@b@web:x", remote(Some("a@b"), "web", "x")),
            ("@web:x", remote(None, "web", "x")),
            ("localhost:a:b", local("a:b")),
            ("./a:b", local("./a:b")),
            ("/a:b", local("/a:b")),
            ("d/a:b", local("d/a:b")),
            (":x", local(":x")),
            ("a:b", remote(None, "a", "b")),
            (r"C:\x", remote(None, "C", r"\x")),
        ] {
            assert_eq!(Operand::parse(text, false, |_| false), want, "{text}");
        }
    }

    #[test]
    fn a_letter_is_a_drive_where_there_are_drives_and_no_such_machine() {
        for (text, want) in [
            (r"C:\x", local(r"C:\x")),
            ("c:x", local("c:x")),
            ("m:x", remote(None, "m", "x")),
            ("web:x", remote(None, "web", "x")),
            (r".\a:b", local(r".\a:b")),
        ] {
            assert_eq!(Operand::parse(text, true, |name| name == "m"), want, "{text}");
        }
    }

    #[test]
    fn no_path_is_taken_for_an_option_or_another_host() {
        for (path, want) in [
            ("x", "x"),
            ("-x", "./-x"),
            ("a:b", "./a:b"),
            ("scp://h/x", "./scp://h/x"),
            ("./a:b", "./a:b"),
            ("/a:b", "/a:b"),
            ("d/a:b", "d/a:b"),
            ("", ""),
        ] {
            assert_eq!(local(path).word(), want);
        }
        assert_eq!(remote(Some("me"), "web", "-x").word(), "me@web:-x");
    }
}
