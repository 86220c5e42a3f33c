//! Which files a command reads its fleet from, and the values of their variables.

use super::saved;
use crate::{
    cli::{CliError, Cx},
    digest::sha256_hex,
    driver::Drivers,
    fleet::{self, Fleet, Form, Source},
    history::Origin,
    local::Here,
    plan::source::SourceFile,
    quote::quote,
    world::World,
};
use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
    sync::Arc,
};

/// Which fleet a command is about.
#[derive(clap::Args, Default)]
pub(in crate::cli) struct FleetFile {
    /// The fleet file, in YAML or KDL; `-` reads standard input; without one, `fleet.yaml`, `fleet.yml` or `fleet.kdl`
    #[arg(value_name = "FILE")]
    pub(super) file: Option<PathBuf>,
    /// A fleet file, and again for each file that is laid over those before it
    #[arg(short = 'f', long = "file", value_name = "FILE", conflicts_with = "file")]
    files: Vec<PathBuf>,
    /// Set a variable of the file
    #[arg(long = "var", value_name = "NAME=VALUE", value_parser = variable)]
    vars: Vec<(String, String)>,
    /// Set variables from a file: YAML, KDL or lines of NAME=VALUE
    #[arg(long = "var-file", value_name = "FILE")]
    var_files: Vec<PathBuf>,
    /// What standard input is written in; without it, it is seen by the content
    #[arg(long, value_enum, value_name = "FORM")]
    from: Option<Written>,
}

/// How a fleet file is written.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(super) enum Written {
    /// YAML
    Yaml,
    /// KDL
    Kdl,
}

impl From<Written> for Form {
    fn from(written: Written) -> Self {
        match written {
            Written::Yaml => Self::Yaml,
            Written::Kdl => Self::Kdl,
        }
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl FleetFile {
    /// The files, as the command line names them or as the folder has them.
    pub(super) fn paths(&self) -> Result<Vec<PathBuf>, CliError> {
        if let Some(file) = &self.file {
            return Ok(vec![file.clone()]);
        }
        if !self.files.is_empty() {
            if self.files.iter().filter(|file| is_stdin(file)).count() > 1 {
                return Err(CliError::Said {
                    what: "standard input can be one of the files, not several".to_owned(),
                    help: Some("name `-` once".to_owned()),
                });
            }
            return Ok(self.files.clone());
        }
        let there: Vec<&str> = fleet::DEFAULT_FILES.into_iter().filter(|name| Path::new(name).exists()).collect();
        match there[..] {
            [] => Ok(vec![PathBuf::from(fleet::DEFAULT_FILES[0])]),
            [only] => Ok(vec![PathBuf::from(only)]),
            [first, second, ..] => Err(CliError::Said {
                what: format!("there are {first} and {second}, and only one of them can be the fleet file"),
                help: Some(format!(
                    "name the one that counts, or lay one over the other:\n  machine plan {first}\n  machine plan -f {first} -f {second}"
                )),
            }),
        }
    }

    /// The files as messages name them.
    pub(super) fn name(&self) -> Result<String, CliError> {
        let names: Vec<String> = self.paths()?.iter().map(|path| shown(path)).collect();
        Ok(names.join(" with "))
    }

    /// The text of one of the files.
    pub(super) fn source(&self, path: &Path) -> Result<Source, CliError> {
        let text = text(path)?;
        let mut source = Source::new(shown(path), text);
        if is_stdin(path) {
            source.form = self.from.map_or_else(|| Form::of_text(&source.text), Form::from);
        }
        Ok(source)
    }

    /// Other files, with the same variables.
    pub(super) fn others(&self, files: Vec<PathBuf>) -> Self {
        let (vars, var_files) = (self.vars.clone(), self.var_files.clone());
        Self { file: None, files, vars, var_files, from: None }
    }

    /// What is in the files: a fleet, or a plan that was saved. The content tells, not the name.
    pub(super) fn contents(&self, drivers: &Drivers) -> Result<Contents, CliError> {
        let paths = self.paths()?;
        let files = self.read(&paths)?;
        if let [only] = &files[..]
            && let Some(plan) = saved::recognise(&only.name, &only.text)
        {
            return Ok(Contents::Plan(Box::new(plan?)));
        }
        self.check(&paths, &files, drivers).map(|fleet| Contents::Fleet(Box::new(fleet)))
    }

    /// The files that are read, with their digests; standard input is none.
    pub(super) fn sources(&self) -> Result<Vec<SourceFile>, CliError> {
        let paths = self.paths()?;
        let files = paths.iter().filter(|path| !is_stdin(path)).map(|path| {
            let whole = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            let sha256 = sha256_hex(text(path)?.as_bytes());
            Ok(SourceFile { path: whole.display().to_string(), sha256 })
        });
        files.collect()
    }

    /// The world, with the folder of the first file as the place of the user's own commands.
    pub(super) fn world(&self, cx: &Cx) -> Result<World, CliError> {
        let paths = self.paths()?;
        let folder = paths.first().filter(|path| !is_stdin(path)).and_then(|path| path.parent());
        let dir = folder.filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned();
        Ok(World { local: Arc::new(Here { dir }), ..cx.world()? })
    }

    /// What the history says of a run on these files.
    pub(super) fn origin(&self, command: &'static str) -> Origin {
        match self.paths().unwrap_or_default().iter().find(|path| !is_stdin(path)) {
            Some(path) => Origin::of_file(command, path),
            None => Origin::of(command),
        }
    }

    /// The checked fleet.
    pub(in crate::cli) fn load(&self, drivers: &Drivers) -> Result<Fleet, CliError> {
        let paths = self.paths()?;
        self.check(&paths, &self.read(&paths)?, drivers)
    }

    fn read(&self, paths: &[PathBuf]) -> Result<Vec<Source>, CliError> {
        paths.iter().map(|path| self.source(path)).collect()
    }

    fn check(&self, paths: &[PathBuf], files: &[Source], drivers: &Drivers) -> Result<Fleet, CliError> {
        let named = |path: &PathBuf| Ok(Source::new(shown(path), text(path)?));
        let var_files = self.var_files.iter().map(named).collect::<Result<Vec<_>, CliError>>()?;
        let inputs = fleet::Inputs {
            vars: self.vars.iter().cloned().collect(),
            env: environment(),
            default_name: paths.first().and_then(|path| default_name(path)),
        };
        fleet::load_all(files, &var_files, &inputs, drivers).map_err(|e| CliError::Fleet(Box::new(e)))
    }
}

/// What a file holds.
pub(super) enum Contents {
    Fleet(Box<Fleet>),
    Plan(Box<saved::SavedPlan>),
}

/// The fleet of a file, for commands whose arguments are something else.
pub(in crate::cli) fn read(file: &Path, drivers: &Drivers) -> Result<Fleet, CliError> {
    FleetFile { file: Some(file.to_owned()), ..FleetFile::default() }.load(drivers)
}

fn environment() -> BTreeMap<String, String> {
    std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))).collect()
}

/// What a fleet without a name is called: its file, or its folder when the file is just `fleet.yaml`.
fn default_name(file: &Path) -> Option<String> {
    let stem = file.file_stem()?.to_string_lossy().into_owned();
    if stem != "fleet" {
        return Some(stem);
    }
    let folder = std::path::absolute(file).ok()?;
    Some(folder.parent()?.file_name()?.to_string_lossy().into_owned())
}

pub(super) fn is_stdin(path: &Path) -> bool {
    path == Path::new("-")
}

fn shown(path: &Path) -> String {
    if is_stdin(path) { "standard input".to_owned() } else { path.display().to_string() }
}

/// What to do when a fleet file cannot be read. For one that is not there: name the one that was probably meant, or
/// write the first.
fn instead(path: &Path, kind: std::io::ErrorKind) -> String {
    if kind != std::io::ErrorKind::NotFound || is_stdin(path) {
        return format!("see what it is and who may read it:\n  ls -ld {}", quote(&shown(path)));
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten().filter_map(|entry| {
        let name = entry.file_name().into_string().ok()?;
        ["yaml", "yml", "kdl"].contains(&name.rsplit_once('.')?.1).then_some(name)
    });
    let names: Vec<String> = names.collect();
    let asked = path.file_name().unwrap_or_default().to_string_lossy();
    match fleet::suggest::closest(&asked, names.iter().map(String::as_str)) {
        Some(near) => format!("did you mean {}?", path.with_file_name(near).display()),
        None => "name the file, or write a first one:\n  fleet: shop\n  hosts:\n    web: { driver: generic, ip: 192.0.2.10 }"
            .to_owned(),
    }
}

fn text(path: &Path) -> Result<String, CliError> {
    let cannot = |why: String, help: &str| CliError::Said {
        what: format!("cannot read {}: {why}", shown(path)),
        help: Some(help.to_owned()),
    };
    let limit = fleet::MAX_BYTES as u64 + 1;
    let mut bytes = Vec::new();
    let read = if is_stdin(path) {
        std::io::stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map_err(|e| cannot(e.to_string(), &instead(path, e.kind())))?;
    if bytes.len() > fleet::MAX_BYTES {
        let why = format!("it has more than {} MiB", fleet::MAX_BYTES >> 20);
        return Err(cannot(why, "use `count` for hosts that are alike, or split the fleet"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let good = String::from_utf8_lossy(&e.as_bytes()[..e.utf8_error().valid_up_to()]);
        let column = good.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        let why = format!("line {}, column {column} is not UTF-8", good.matches('\n').count() + 1);
        cannot(why, "save it as UTF-8")
    })
}
