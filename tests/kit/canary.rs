//! Looking for a secret wherever it must not be, in every form it may take.

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

/// A secret that is found again.
#[derive(Clone)]
pub(crate) struct Canary {
    pub(crate) text: String,
    forms: Vec<(&'static str, String)>,
}

impl Canary {
    pub(crate) fn new(text: &str) -> Self {
        let hex = text.bytes().fold(String::new(), |mut all, b| {
            write!(all, "{b:02x}").unwrap();
            all
        });
        let url = text.bytes().fold(String::new(), |mut all, b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) {
                all.push(char::from(b));
            } else {
                write!(all, "%{b:02X}").unwrap();
            }
            all
        });
        let mut forms = vec![
            ("plain", text.to_owned()),
            ("hex", hex.clone()),
            ("HEX", hex.to_uppercase()),
            ("URL-encoded", url),
            ("reversed", text.chars().rev().collect()),
        ];
        for (align, name) in ["base64", "base64 + 1", "base64 + 2"].into_iter().enumerate() {
            let encoded = STANDARD_NO_PAD.encode([vec![b'x'; align], text.as_bytes().to_vec()].concat());
            // What the neighbours have no part in.
            let (start, end) = ((align * 8).div_ceil(6), (align + text.len()) * 8 / 6);
            let whole = &encoded[start..end];
            forms.push((name, whole.to_owned()));
            forms.push(("URL-safe base64", whole.replace('+', "-").replace('/', "_")));
        }
        Self { text: text.to_owned(), forms }
    }

    /// The form it has in these bytes, if it is there.
    pub(crate) fn is_in(&self, bytes: &[u8]) -> Option<&'static str> {
        // What is no text between is replaced, and no canary has any of that.
        let text = String::from_utf8_lossy(bytes);
        self.forms.iter().find(|(_, form)| text.contains(form.as_str())).map(|(name, _)| *name)
    }
}

/// Fails, naming the place and never the secret, when one of them is in these bytes.
#[track_caller]
pub(crate) fn none_in(place: &str, bytes: &[u8], canaries: &[Canary]) {
    for (number, canary) in canaries.iter().enumerate() {
        if let Some(form) = canary.is_in(bytes) {
            panic!("canary {number} is in {place}, {form}");
        }
    }
}

/// Fails when one is in a file below `dir`, or in the name of one. How many files there are.
#[track_caller]
pub(crate) fn none_below(dir: &Path, but: &[&Path], canaries: &[Canary]) -> usize {
    let mut files = 0;
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        none_in(&format!("the name {}", path.display()), path.as_os_str().as_encoded_bytes(), canaries);
        let kind = entry.file_type().unwrap();
        if but.contains(&path.as_path()) {
        } else if kind.is_dir() {
            files += none_below(&path, but, canaries);
        } else if kind.is_file() {
            files += 1;
            none_in(&path.display().to_string(), &fs::read(&path).unwrap_or_default(), canaries);
        } else if kind.is_symlink() {
            none_in(
                &path.display().to_string(),
                fs::read_link(&path).unwrap().as_os_str().as_encoded_bytes(),
                canaries,
            );
        }
    }
    files
}

/// Looks at all processes of this computer, those of lab hosts included, for as long as it is there.
pub(crate) struct Watcher {
    end: Arc<AtomicBool>,
    looks: Arc<AtomicUsize>,
    thread: Option<thread::JoinHandle<BTreeSet<String>>>,
}

impl Watcher {
    /// `lines`: not to be in any command line; `environments`: nor in any environment but those of engines.
    pub(crate) fn new(lines: Vec<Canary>, environments: Vec<Canary>) -> Self {
        let (end, looks) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (ending, counted) = (end.clone(), looks.clone());
        let thread = thread::spawn(move || {
            let mut found = BTreeSet::new();
            while !ending.load(Ordering::Relaxed) {
                for process in fs::read_dir("/proc").unwrap().flatten() {
                    look(&process.path(), &lines, &environments, &mut found);
                }
                counted.fetch_add(1, Ordering::Relaxed);
            }
            found
        });
        Self { end, looks, thread: Some(thread) }
    }

    /// Ends it. It must have looked more than once, and found nothing.
    #[track_caller]
    pub(crate) fn nothing_found(mut self) {
        self.end.store(true, Ordering::Relaxed);
        let found = self.thread.take().unwrap().join().unwrap();
        assert!(found.is_empty(), "{found:?}");
        assert!(self.looks.load(Ordering::Relaxed) > 2, "it looked too seldom to see anything");
    }

    /// Ends it. It must have found something, or it finds nothing ever.
    #[track_caller]
    pub(crate) fn something_found(mut self) {
        self.end.store(true, Ordering::Relaxed);
        assert!(!self.thread.take().unwrap().join().unwrap().is_empty());
    }
}

fn look(process: &Path, lines: &[Canary], environments: &[Canary], found: &mut BTreeSet<String>) {
    let read = |name: &str| fs::read(process.join(name)).unwrap_or_default();
    let line = read("cmdline");
    let shown = || String::from_utf8_lossy(&line[..line.len().min(40)]).replace('\0', " ");
    for (number, canary) in lines.iter().enumerate() {
        if let Some(form) = canary.is_in(&line) {
            found.insert(format!("canary {number} in a command line, {form}: {}", shown()));
        }
    }
    let name = String::from_utf8_lossy(&read("comm")).into_owned();
    // An engine's own, with what it starts, such as iptables; what we run on a host is in a session of its own.
    let is_of_engine = String::from_utf8_lossy(&read("cgroup")).contains("/docker.service");
    if is_of_engine || ["dockerd", "containerd", "docker-proxy", "runc", "(dockerd)"].contains(&name.trim_end()) {
        return;
    }
    let environment = read("environ");
    for (number, canary) in environments.iter().enumerate() {
        if let Some(form) = canary.is_in(&environment) {
            found.insert(format!("canary {number} in the environment of {name}, {form}: {}", shown()));
        }
    }
}
