//! docker's folder: `contexts/meta/DIGEST/meta.json`, `contexts/tls/DIGEST/docker/*.pem` and `config.json`.
//!
//! docker reads it without a lock, so a context appears and changes with one renaming: its keys are there before it
//! is.

use super::{Context, ContextError, folder};
use crate::{fault, store::authority::Identity};
use serde_json::Value;
use std::{
    env,
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// The file beside each engine's keys, with its mode.
const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];
/// As docker calls its own endpoint.
const ENDPOINT: &str = "docker";

/// Where docker keeps contexts.
#[derive(Clone, Debug)]
pub struct Shelf {
    root: PathBuf,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ContextError {
    move |source| ContextError::Io { doing, path: path.to_owned(), source }
}

/// What an error of the kind "there is none" means: nothing.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

impl Shelf {
    /// As docker finds it: `DOCKER_CONFIG`, else `~/.docker`.
    ///
    /// # Errors
    /// When there is neither.
    pub fn of_environment() -> Result<Self, ContextError> {
        let given = env::var_os("DOCKER_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        let home = || env::home_dir().filter(|home| !home.as_os_str().is_empty()).map(|home| home.join(".docker"));
        given.or_else(home).map(Self::at).ok_or(ContextError::NoHome)
    }

    /// At a folder that need not exist.
    #[must_use]
    pub fn at(root: PathBuf) -> Self {
        Self { root }
    }

    fn meta(&self, name: &str) -> PathBuf {
        self.root.join("contexts/meta").join(folder(name))
    }

    fn tls(&self, name: &str) -> PathBuf {
        self.root.join("contexts/tls").join(folder(name))
    }

    /// All contexts, by name, ours and others. What docker itself could not read is passed over.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn all(&self) -> Result<Vec<Context>, ContextError> {
        let meta = self.root.join("contexts/meta");
        let Some(entries) = if_there(fs::read_dir(&meta)).map_err(failed("read", &meta))? else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed("read", &meta))?.path().join("meta.json");
            let Ok(text) = fs::read_to_string(&path) else { continue };
            let Some(context) = Context::from_meta(&text, None) else { continue };
            // A folder that is not called by its context is no context's.
            if path == self.meta(&context.name).join("meta.json") {
                let identity = self.identity(&context.name)?;
                found.push(Context { identity, ..context });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    fn identity(&self, name: &str) -> Result<Option<Identity>, ContextError> {
        let folder = self.tls(name).join(ENDPOINT);
        let read = |file: &str| {
            let path = folder.join(file);
            if_there(fs::read_to_string(&path)).map_err(failed("read", &path))
        };
        let [ca, cert, key] = FILES.map(read);
        Ok(match (ca?, cert?, key?) {
            (Some(ca), Some(cert), Some(key)) => Some(Identity { ca, cert, key }),
            _ => None,
        })
    }

    /// Writes a context. Where it exists, the new one takes its place.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, context: &Context) -> Result<(), ContextError> {
        let tls = self.tls(&context.name);
        if let Some(Identity { ca, cert, key }) = &context.identity {
            let folder = tls.join(ENDPOINT);
            make_dir(&folder, 0o700)?;
            for (file, text) in FILES.into_iter().zip([ca, cert, key]) {
                write(&folder.join(file), text.as_bytes(), 0o600)?;
            }
        }
        let meta = self.meta(&context.name);
        make_dir(&meta, 0o755)?;
        write(&meta.join("meta.json"), context.meta().as_bytes(), 0o644)?;
        if context.identity.is_none() {
            remove(&tls)?;
        }
        Ok(())
    }

    /// Removes a context. Nothing to do when there is none.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), ContextError> {
        // What is cut off in between leaves a context, which the next look finds and removes; keys alone it would not.
        for path in [self.tls(name), self.meta(name)] {
            remove(&path)?;
        }
        Ok(())
    }

    fn config(&self) -> Result<serde_json::Map<String, Value>, ContextError> {
        let path = self.root.join("config.json");
        let Some(text) = if_there(fs::read_to_string(&path)).map_err(failed("read", &path))? else {
            return Ok(serde_json::Map::new());
        };
        if text.trim().is_empty() {
            return Ok(serde_json::Map::new());
        }
        serde_json::from_str(&text).map_err(|e| ContextError::Config { path, why: e.to_string() })
    }

    /// The context that docker uses when it is told nothing else; `None`: its default one.
    ///
    /// # Errors
    /// When docker's config.json cannot be read.
    pub fn current(&self) -> Result<Option<String>, ContextError> {
        let current = self.config()?.get("currentContext").and_then(Value::as_str).map(str::to_owned);
        Ok(current.filter(|name| !name.is_empty() && name != "default"))
    }

    /// Makes a context the current one, as `docker context use`; `None`: docker's default one. All else in docker's
    /// config.json stays as it is, and in its order.
    ///
    /// # Errors
    /// When docker's config.json cannot be read or written.
    pub fn set_current(&self, name: Option<&str>) -> Result<(), ContextError> {
        let mut config = self.config()?;
        match name {
            Some(name) => drop(config.insert("currentContext".to_owned(), Value::from(name))),
            None if config.contains_key("currentContext") => drop(config.shift_remove("currentContext")),
            None => return Ok(()),
        }
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        serde::Serialize::serialize(&config, &mut serializer).expect("a JSON document can be written to memory");
        make_dir(&self.root, 0o700)?;
        let path = self.root.join("config.json");
        // Many keep it elsewhere and link to it; the link stays.
        let path = fs::canonicalize(&path).unwrap_or(path);
        let mode = fs::metadata(&path).map_or(0o600, |about| about.permissions().mode() & 0o777);
        write(&path, &bytes, mode)
    }
}

fn make_dir(path: &Path, mode: u32) -> Result<(), ContextError> {
    fault::point("context.mkdir", path)
        .and_then(|()| DirBuilder::new().recursive(true).mode(mode).create(path))
        .map_err(failed("make", path))
}

fn remove(path: &Path) -> Result<(), ContextError> {
    let removed = fault::point("context.remove", path).and_then(|()| fs::remove_dir_all(path));
    if_there(removed).map(drop).map_err(failed("remove", path))
}

/// Replaces a file, durably.
fn write(path: &Path, content: &[u8], mode: u32) -> Result<(), ContextError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let replace = || -> io::Result<()> {
        fault::point("context.create", path)?;
        let mut builder = tempfile::Builder::new();
        let mut file = builder.prefix(".machine-").permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
        fault::point("context.write", path)?;
        file.write_all(content)?;
        fault::point("context.sync", path)?;
        file.as_file().sync_all()?;
        fault::point("context.rename", path)?;
        file.persist(path).map_err(|e| e.error)?;
        fault::point("context.sync-dir", path)?;
        fs::File::open(folder)?.sync_all()
    };
    replace().map_err(failed("write", path))
}
