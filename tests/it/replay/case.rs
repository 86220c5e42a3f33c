//! One command line and what is said of it, and the file it stands in.

use std::fmt::Write as _;

/// What a program said and how it ended. Places that change from run to run have names.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Said {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// How we compare to docker-machine.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Compared {
    Same,
    /// For this reason, and docker-machine says this.
    Differs {
        why: String,
        theirs: Said,
    },
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Case {
    pub(crate) title: String,
    /// The store it is played on.
    pub(crate) store: String,
    /// A line for `sh`; `docker-machine` is the program, with the store given.
    pub(crate) line: String,
    pub(crate) ours: Said,
    pub(crate) compared: Compared,
}

impl Case {
    pub(crate) fn theirs(&self) -> &Said {
        match &self.compared {
            Compared::Same => &self.ours,
            Compared::Differs { theirs, .. } => theirs,
        }
    }

    /// Takes over what both did. A reason that was given stays, if there is still something to give one for.
    pub(crate) fn record(&mut self, ours: Said, theirs: Said) {
        let why = match &self.compared {
            Compared::Differs { why, .. } => why.clone(),
            Compared::Same => String::new(),
        };
        self.compared = if ours == theirs { Compared::Same } else { Compared::Differs { why, theirs } };
        self.ours = ours;
    }
}

/// Reads a file. Text after `|` is what was printed; a line that ends without a line feed ends with `|\`.
pub(crate) fn parse(text: &str) -> Result<Vec<Case>, String> {
    let mut cases: Vec<Case> = Vec::new();
    let mut store = "mixed".to_owned();
    // Whose words come now: ours or theirs, and on which stream.
    let (mut theirs, mut stderr) = (false, false);
    for (number, line) in text.lines().enumerate() {
        let wrong = |what: &str| format!("line {}: {what}: {line}", number + 1);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(name) = line.strip_prefix("store ") {
            name.clone_into(&mut store);
            continue;
        }
        if let Some(title) = line.strip_prefix("=== ") {
            (theirs, stderr) = (false, false);
            let (ours, compared) = (Said::default(), Compared::Same);
            let store = store.clone();
            cases.push(Case { title: title.to_owned(), store, line: String::new(), ours, compared });
            continue;
        }
        let case = cases.last_mut().ok_or_else(|| wrong("it belongs to no case"))?;
        if let Some(command) = line.strip_prefix("$ ") {
            command.clone_into(&mut case.line);
            continue;
        }
        if line == "same" {
            continue;
        }
        if let Some(why) = line.strip_prefix("differs:") {
            case.compared = Compared::Differs { why: why.trim().to_owned(), theirs: Said::default() };
            continue;
        }
        if line == "docker-machine:" {
            (theirs, stderr) = (true, false);
            continue;
        }
        let said = match &mut case.compared {
            Compared::Differs { theirs: said, .. } if theirs => said,
            _ => &mut case.ours,
        };
        if let Some(status) = line.strip_prefix("status ") {
            said.status = status.parse().map_err(|_| wrong("no status"))?;
        } else if line == "stdout" || line == "stderr" {
            stderr = line == "stderr";
        } else if let Some(printed) = line.strip_prefix('|') {
            let stream = if stderr { &mut said.stderr } else { &mut said.stdout };
            if let Some(open) = printed.strip_suffix("|\\") {
                stream.push_str(open);
            } else {
                stream.push_str(printed);
                stream.push('\n');
            }
        } else {
            return Err(wrong("this is unknown"));
        }
    }
    Ok(cases)
}

/// Writes the file, as [`parse`] reads it.
pub(crate) fn print(cases: &[Case]) -> String {
    let mut text = String::new();
    let mut store = "";
    for case in cases {
        if case.store != store {
            store = &case.store;
            let _ = writeln!(text, "store {store}\n");
        }
        let _ = writeln!(text, "=== {}\n$ {}", case.title, case.line);
        match &case.compared {
            Compared::Same => text.push_str("same\n"),
            Compared::Differs { why, .. } => {
                let _ = writeln!(text, "differs: {why}");
            }
        }
        print_said(&mut text, &case.ours);
        if let Compared::Differs { theirs, .. } = &case.compared {
            text.push_str("docker-machine:\n");
            print_said(&mut text, theirs);
        }
        text.push('\n');
    }
    text
}

fn print_said(text: &mut String, said: &Said) {
    let _ = writeln!(text, "status {}", said.status);
    for (name, printed) in [("stdout", &said.stdout), ("stderr", &said.stderr)] {
        if printed.is_empty() {
            continue;
        }
        let _ = writeln!(text, "{name}");
        for line in printed.split_inclusive('\n') {
            let _ = match line.strip_suffix('\n') {
                Some(line) => writeln!(text, "|{line}"),
                None => writeln!(text, "|{line}|\\"),
            };
        }
    }
}

/// What was wanted and what came, for a person.
pub(crate) fn difference(want: &Said, found: &Said) -> String {
    let (mut left, mut right) = (String::new(), String::new());
    print_said(&mut left, want);
    print_said(&mut right, found);
    similar::TextDiff::from_lines(&left, &right).unified_diff().context_radius(2).header("recorded", "now").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_back_as_written() {
        let said = |out: &str| Said { status: 1, stdout: out.to_owned(), stderr: "e\n".to_owned() };
        let case = |compared| Case {
            title: "t".to_owned(),
            store: "mixed".to_owned(),
            line: "docker-machine ls".to_owned(),
            ours: said("no line feed"),
            compared,
        };
        let differs = Compared::Differs { why: "so".to_owned(), theirs: said("a\n\n|b\n") };
        let cases = [case(Compared::Same), case(differs)];
        assert_eq!(parse(&print(&cases)).unwrap(), cases);
    }
}
