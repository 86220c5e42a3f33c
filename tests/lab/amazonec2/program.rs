//! The program itself, in a home and an environment of its own.

use crate::moto::proxy::Proxy;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A person's home, with the store in it.
pub(crate) struct Home {
    dir: tempfile::TempDir,
}

/// What it said and how it ended.
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file; its path as a word.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// `machine` with these words, at a provider, knowing of credentials only what `environment` says.
    pub(crate) fn machine(&self, proxy: &Proxy, words: &[&str], environment: &[(&str, &str)]) -> Said {
        let mut command = Command::new(env!("CARGO_BIN_EXE_machine"));
        command.env_clear().env("HOME", self.dir.path()).env("MACHINE_STORAGE_PATH", self.path("store"));
        command.env("PATH", format!("{}:/usr/bin:/bin", self.path("bin").display()));
        command.env("AWS_ENDPOINT_URL", proxy.url()).env("AWS_EC2_METADATA_DISABLED", "true");
        let out = command.args(words).envs(environment.iter().copied()).output().unwrap();
        let text = [out.stdout, out.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
        Said { code: out.status.code().unwrap(), text }
    }

    /// As `machine create`. What was begun and failed is forgotten, so that the name is free.
    pub(crate) fn create(&self, proxy: &Proxy, flags: &[&str], environment: &[(&str, &str)]) -> Said {
        let words = ["create", "-d", "amazonec2", "--amazonec2-allow-cidr", "10.0.0.0/8"];
        let said = self.machine(proxy, &[&words, flags, &["web-1"]].concat(), environment);
        forget(&self.path("store/machines/web-1"));
        said
    }
}

fn forget(folder: &Path) {
    if folder.exists() {
        fs::remove_dir_all(folder).unwrap();
    }
}
