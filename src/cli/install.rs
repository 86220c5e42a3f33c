//! `install`: links and files in the places where a user's shells, man and docker look for them.

use super::{CliError, Cx, Exit, Group, Out, Run, completion::Scripted, file, man};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Put this program where your shells, man and docker look for it
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are the switches of a command line")]
pub(super) struct Install {
    /// As a plugin of docker: `docker machine ls`
    #[arg(long)]
    docker_plugin: bool,
    /// As `docker-machine` in this folder, in the place of docker-machine
    #[arg(long, value_name = "DIR")]
    drop_in: Option<PathBuf>,
    /// Completion for bash, zsh and fish
    #[arg(long)]
    completion: bool,
    /// The manual pages
    #[arg(long)]
    man: bool,
    /// Remove what was installed instead
    #[arg(long)]
    uninstall: bool,
    /// Replace files that are not ours
    #[arg(long)]
    force: bool,
}

/// Something to be put in a place.
struct Item {
    at: PathBuf,
    what: What,
}

/// What is put there.
enum What {
    /// A link to this program.
    Link(PathBuf),
    /// A text, and what all texts of its kind have in them.
    Text(String, &'static str),
}

/// What is in a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Found {
    Nothing,
    /// Just what would be put there.
    Same,
    /// Of another version of this program.
    Ours,
    Foreign,
}

/// What the completion scripts have in them.
const SCRIPT: &str = "The program knows the candidates; this only asks it.";

impl Run for Install {
    const NAME: &'static str = "install";
    const GROUP: Group = Group::Shell;

    fn run(self, cx: &Cx, out: &mut Out) -> Result<Exit, CliError> {
        let items = self.items(cx)?;
        if items.is_empty() {
            return Err(CliError::Said {
                what: "nothing to install was named".to_owned(),
                help: Some("say what, as in:\n  machine install --docker-plugin --completion --man".to_owned()),
            });
        }
        // All or none: a user who must decide about one file is told of all.
        let stands = |item: &&Item| !self.force && !self.uninstall && item.found() == Found::Foreign;
        let foreign: Vec<CliError> = items.iter().filter(stands).map(|item| refused(&item.at)).collect();
        CliError::all(foreign)?;
        for item in &items {
            let did = if self.uninstall { item.remove() } else { item.put() };
            out.line(&format!("{:<10} {}", did?, item.at.display()))?;
        }
        if self.completion && !self.uninstall {
            out.line("zsh reads its file if the folder is in fpath before compinit runs; bash needs bash-completion.")?;
        }
        Ok(Exit::Done)
    }
}

impl Install {
    fn items(&self, cx: &Cx) -> Result<Vec<Item>, CliError> {
        let home = std::env::home_dir().filter(|home| !home.as_os_str().is_empty()).ok_or(CliError::NoHome)?;
        let place = |variable: &str, below: &str| cx.var(variable).map_or_else(|| home.join(below), PathBuf::from);
        let program =
            std::env::current_exe().map_err(|e| CliError::said(format!("cannot tell where this program is: {e}")))?;
        let (data, config) = (place("XDG_DATA_HOME", ".local/share"), place("XDG_CONFIG_HOME", ".config"));
        let mut items = Vec::new();
        let mut link = |at: PathBuf| items.push(Item { at, what: What::Link(program.clone()) });
        if self.docker_plugin {
            link(place("DOCKER_CONFIG", ".docker").join("cli-plugins/docker-machine"));
        }
        if let Some(folder) = &self.drop_in {
            link(folder.join("docker-machine"));
        }
        let mut text = |at: PathBuf, text: String, mark| items.push(Item { at, what: What::Text(text, mark) });
        if self.completion {
            // Another docker-machine keeps its own.
            let names = if self.drop_in.is_some() { &["machine", "docker-machine"][..] } else { &["machine"] };
            for name in names {
                text(data.join("bash-completion/completions").join(name), Scripted::Bash.completion(name), SCRIPT);
                text(data.join(format!("zsh/site-functions/_{name}")), Scripted::Zsh.completion(name), SCRIPT);
                text(config.join(format!("fish/completions/{name}.fish")), Scripted::Fish.completion(name), SCRIPT);
            }
        }
        if self.man {
            for (name, page) in man::pages(&cx.drivers) {
                text(data.join("man/man1").join(name), page, man::MARK);
            }
        }
        Ok(items)
    }
}

fn refused(at: &Path) -> CliError {
    CliError::Said {
        what: format!("{} is there and is not ours", at.display()),
        help: Some("move it away, or replace it with `--force`".to_owned()),
    }
}

impl Item {
    fn found(&self) -> Found {
        let Ok(there) = fs::symlink_metadata(&self.at) else { return Found::Nothing };
        match &self.what {
            What::Link(program) => match fs::read_link(&self.at) {
                Ok(target) if target == *program => Found::Same,
                Ok(target) if target.file_name() == program.file_name() => Found::Ours,
                _ => Found::Foreign,
            },
            What::Text(text, mark) => match fs::read_to_string(&self.at) {
                Ok(old) if old == *text => Found::Same,
                Ok(old) if there.is_file() && old.contains(mark) => Found::Ours,
                _ => Found::Foreign,
            },
        }
    }

    /// Puts it there; what was done.
    fn put(&self) -> Result<&'static str, CliError> {
        let found = self.found();
        if found == Found::Same {
            return Ok("unchanged");
        }
        if let Some(folder) = self.at.parent() {
            fs::create_dir_all(folder).map_err(|e| failed("make", folder, &e))?;
        }
        match &self.what {
            What::Link(program) => linked(program, &self.at).map_err(|e| failed("link", &self.at, &e))?,
            What::Text(text, _) => {
                // Not through a link into a foreign file.
                if found == Found::Foreign && self.at.is_symlink() {
                    fs::remove_file(&self.at).map_err(|e| failed("replace", &self.at, &e))?;
                }
                file::replace(&self.at, text.as_bytes())?;
            }
        }
        Ok(match (&self.what, found) {
            (_, Found::Ours | Found::Foreign) => "replaced",
            (What::Link(_), _) => "linked",
            (What::Text(..), _) => "wrote",
        })
    }

    /// Takes it away; what was done.
    fn remove(&self) -> Result<&'static str, CliError> {
        if self.found() == Found::Foreign {
            return Ok("not ours");
        }
        match fs::remove_file(&self.at) {
            Ok(()) => Ok("removed"),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok("not there"),
            Err(e) => Err(failed("remove", &self.at, &e)),
        }
    }
}

/// In one go, whatever was there.
fn linked(program: &Path, at: &Path) -> io::Result<()> {
    let folder = tempfile::tempdir_in(at.parent().unwrap_or(Path::new(".")))?;
    let new = folder.path().join("link");
    std::os::unix::fs::symlink(program, &new)?;
    fs::rename(new, at)
}

fn failed(doing: &str, at: &Path, e: &io::Error) -> CliError {
    CliError::Said {
        what: format!("cannot {doing} {}: {e}", at.display()),
        help: Some("check that its folder is there and may be written".to_owned()),
    }
}
