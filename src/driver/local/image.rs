//! Images that machines stand on, or are copied from: the cloud images of distributions, or the user's own.
//!
//! An image in the cache is complete, is what its checksum says, and never changes; fetching happens beside it and ends
//! with a rename.

use super::preset::{Arch, Hardware, Preset};
use crate::{
    digest::sha256_hex,
    driver::{DriverError, OptionProblem, files},
    fault,
    http::{Download, Http, Limiter, Request, Service, Sum, Url},
};
use std::{
    fs::{self, File},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::Duration,
};

/// What the option `image` means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::driver) enum Image {
    /// One of a distribution.
    Preset {
        /// What it is called in the cache.
        label: String,
        /// Where it is.
        url: String,
        /// What it is called in the file of checksums.
        file: String,
        /// Where that is.
        sums: String,
    },
    /// Anywhere else.
    Url(String),
    /// A file of this computer.
    File(PathBuf),
}

/// Endings of files that are images.
const ENDINGS: [&str; 6] = [".qcow2", ".img", ".raw", ".vdi", ".vmdk", ".vhd"];

impl Image {
    /// Pure. Reads the option; the error says what is wrong.
    pub(in crate::driver) fn parse(text: &str, hardware: Hardware, arch: Arch) -> Result<Self, String> {
        let preset = Preset::all(hardware).find(|preset| preset.name == text);
        if let Some((url, file, sums)) = preset.and_then(|preset| preset.places(hardware, arch)) {
            let label = match (hardware, arch) {
                (Hardware::Real, Arch::X86_64) => text.to_owned(),
                _ => format!("{text}-{}", arch.name()),
            };
            return Ok(Self::Preset { label, url, file, sums });
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Self::Url(text.to_owned()));
        }
        let path = Path::new(text);
        if text.contains('/') || path.is_absolute() || ENDINGS.iter().any(|ending| text.ends_with(ending)) {
            return Ok(Self::File(path.to_owned()));
        }
        Err(format!("`{}` is no image", text.escape_default()))
    }

    /// What is legal, for help.
    pub(in crate::driver) fn legal(hardware: Hardware) -> String {
        let names: Vec<String> = Preset::all(hardware).map(|preset| format!("`{}`", preset.name)).collect();
        let forms = match hardware {
            Hardware::Cloud => "qcow2 or raw",
            Hardware::Real => "qcow2, raw, VDI, VMDK or VHD",
        };
        format!("use one of {}, a URL with `image-checksum`, or a file, {forms}", names.join(", "))
    }

    /// What is wrong with the options `image` and `image-checksum`.
    pub(in crate::driver) fn check(
        text: &str,
        checksum: Option<&str>,
        hardware: Hardware,
        arch: Arch,
    ) -> Vec<OptionProblem> {
        let problem = |key: &str, message: String, help: &str| OptionProblem {
            key: Some(key.to_owned()),
            message,
            help: Some(help.to_owned()),
        };
        let image = match Self::parse(text, hardware, arch) {
            Err(message) => Some(problem("image", message, &Self::legal(hardware))),
            Ok(Self::Url(_)) if checksum.is_none() => Some(problem(
                "image-checksum",
                "an image from a URL is used only when it is known which".to_owned(),
                "give the SHA-256 or SHA-512 that its publisher names",
            )),
            Ok(_) => None,
        };
        let wrong = checksum.filter(|text| Sum::parse(text).is_none()).map(|text| {
            problem(
                "image-checksum",
                format!("`{}` is no checksum", text.escape_default()),
                "write 64 hex digits of SHA-256 or 128 of SHA-512",
            )
        });
        image.into_iter().chain(wrong).collect()
    }
}

/// Pure. The checksum of `file` in a list of them, as coreutils or BSD write it.
fn listed(list: &str, file: &str) -> Option<Sum> {
    list.lines().find_map(|line| {
        if let Some((digits, name)) = line.split_once(char::is_whitespace)
            && name.trim_start().trim_start_matches('*') == file
            && let Some(sum) = Sum::parse(digits)
        {
            return Some(sum);
        }
        let (name, digits) = line.split_once(" (")?.1.split_once(") = ")?;
        if name == file { Sum::parse(digits) } else { None }
    })
}

/// A folder of images, shared by all that make machines from them.
pub(in crate::driver) struct Cache<'a> {
    folder: &'a Path,
    progress: &'a (dyn Fn(&str) + Send + Sync),
}

impl<'a> Cache<'a> {
    /// The folder is made if it is not there yet.
    pub(in crate::driver) fn at(
        folder: &'a Path,
        progress: &'a (dyn Fn(&str) + Send + Sync),
    ) -> Result<Self, DriverError> {
        files::folder(folder, 0o700)?;
        Ok(Self { folder, progress })
    }

    /// The image in the cache, fetched first if it is not there yet. A file of the user's is taken as it is now: machines
    /// must not lose what they stand on when the file is replaced.
    pub(in crate::driver) async fn ensure(
        &self,
        image: &Image,
        checksum: Option<&str>,
    ) -> Result<PathBuf, DriverError> {
        let given = checksum.and_then(Sum::parse);
        match image {
            Image::File(path) => self.own(path, given).await,
            Image::Url(url) => {
                let checksum = given.ok_or_else(|| unknown(url))?;
                self.fetched("image", url, &checksum).await
            }
            Image::Preset { label, url, file, sums } => {
                if let Some(checksum) = given {
                    return self.fetched(label, url, &checksum).await;
                }
                (self.progress)(&format!("asking for the newest {label}"));
                let list = match text(sums).await {
                    Ok(list) => list,
                    Err(e) => {
                        // Better the one of some days ago than none.
                        let Some(old) = self.newest(label) else { return Err(e) };
                        (self.progress)(&format!("going on with {}, for the newest is not known: {e}", old.display()));
                        return Ok(old);
                    }
                };
                let checksum = listed(&list, file).ok_or_else(|| DriverError::Refused {
                    doing: format!("looking for the checksum of {file}"),
                    why: format!("{sums} does not name it"),
                    help: "give the image as a URL, with `image-checksum`".to_owned(),
                })?;
                self.fetched(label, url, &checksum).await
            }
        }
    }

    /// An image that is only read once, to be copied: a file of the user's stays where it is.
    pub(in crate::driver) async fn source(
        &self,
        image: &Image,
        checksum: Option<&str>,
    ) -> Result<PathBuf, DriverError> {
        let Image::File(path) = image else { return self.ensure(image, checksum).await };
        let path = super::here(&path.to_string_lossy());
        if let Some(sum) = checksum.and_then(Sum::parse) {
            self.verify(&path.display().to_string(), &path, sum).await?;
        }
        Ok(path)
    }

    /// The image of a label that was fetched last.
    fn newest(&self, label: &str) -> Option<PathBuf> {
        let all = fs::read_dir(self.folder).ok()?.flatten();
        let ours = all.filter(|entry| {
            let name = entry.file_name();
            name.to_str()
                .and_then(|name| name.strip_prefix(label))
                .is_some_and(|rest| rest.starts_with('.') && rest.len() == 13)
        });
        ours.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok()).map(|entry| entry.path())
    }

    async fn own(&self, path: &Path, checksum: Option<Sum>) -> Result<PathBuf, DriverError> {
        let path = path.canonicalize().map_err(unread("image", path))?;
        let data = fs::metadata(&path).map_err(files::because("reading the image", &path))?;
        let text = format!("{} {} {} {}", path.display(), data.size(), data.mtime(), data.mtime_nsec());
        let key = format!("file.{}", &sha256_hex(text.as_bytes())[..12]);
        let from = path.clone();
        self.kept(&key, &path.display().to_string(), checksum, async move |to: PathBuf| {
            (self.progress)(&format!("copying image {}", from.display()));
            let copied = {
                let (from, to) = (from.clone(), to.clone());
                tokio::task::spawn_blocking(move || {
                    let mut from = File::open(from)?;
                    let mut to = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
                    io::copy(&mut from, &mut to)?;
                    to.sync_all()
                })
                .await
            };
            copied.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(files::because("copying the image to", &to))
        })
        .await
    }

    /// An image from elsewhere, by what it must be.
    async fn fetched(&self, label: &str, url: &str, checksum: &Sum) -> Result<PathBuf, DriverError> {
        let key = format!("{label}.{}", &checksum.digits()[..12]);
        self.kept(&key, url, None, async |to: PathBuf| {
            let what = Download { url: address(url)?, to, sum: Some(checksum.clone()) };
            Http::shared().download(&what, self.progress).await.map_err(|e| not_fetched(url, &e.to_string(), e.help()))
        })
        .await
    }

    /// The image `key`; `get` brings it to where it is told if it is not there.
    async fn kept(
        &self,
        key: &str,
        from: &str,
        checksum: Option<Sum>,
        get: impl AsyncFnOnce(PathBuf) -> Result<(), DriverError>,
    ) -> Result<PathBuf, DriverError> {
        let done = self.folder.join(key);
        if done.is_file() {
            return Ok(done);
        }
        let waiting = || (self.progress)(&format!("waiting for another run to fetch {from}"));
        let _lock = files::lock(&self.folder.join(format!(".{key}.lock")), waiting).await?;
        if done.is_file() {
            return Ok(done);
        }
        let unfinished = self.folder.join(format!(".{key}.new"));
        let removed = |path: &Path| match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(files::because("removing", path)(e)),
            _ => Ok(()),
        };
        removed(&unfinished)?;
        let result = async {
            get(unfinished.clone()).await?;
            if let Some(checksum) = checksum {
                self.verify(from, &unfinished, checksum).await?;
            }
            whole(from, &unfinished)
        };
        if let Err(e) = result.await {
            removed(&unfinished)?;
            return Err(e);
        }
        fault::point("driver.image.rename", &done)
            .and_then(|()| fs::rename(&unfinished, &done))
            .map_err(files::because("renaming", &unfinished))?;
        Ok(done)
    }

    async fn verify(&self, from: &str, path: &Path, checksum: Sum) -> Result<(), DriverError> {
        (self.progress)("comparing the image with its checksum");
        let (file, wanted) = (path.to_owned(), checksum.clone());
        let compared = tokio::task::spawn_blocking(move || wanted.of_file(&file)).await;
        let found = compared.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(unread("image", path))?;
        if found == checksum {
            return Ok(());
        }
        Err(DriverError::Refused {
            doing: format!("using the image {from}"),
            why: format!("its checksum is {}, and should be {}", found.digits(), checksum.digits()),
            help: "correct the checksum, or find out who changed the file; do not use it".to_owned(),
        })
    }
}

fn unknown(url: &str) -> DriverError {
    DriverError::Refused {
        doing: format!("fetching {url}"),
        why: "it is not known what it must be".to_owned(),
        help: "give `image-checksum`".to_owned(),
    }
}

/// Says of a file of the user's why it cannot be read.
pub(in crate::driver) fn unread(what: &str, path: &Path) -> impl FnOnce(io::Error) -> DriverError {
    let doing = format!("reading the {what} {}", path.display());
    move |e| DriverError::Refused {
        doing,
        why: e.to_string(),
        help: "give the full path of a file that is there and that you may read".to_owned(),
    }
}

/// A short text from elsewhere.
async fn text(url: &str) -> Result<String, DriverError> {
    let service = Service::new(Limiter::new(Duration::from_millis(100), 4, 4));
    let reply = service.send(&Request::get(address(url)?)).await;
    let reply = reply.map_err(|e| not_fetched(url, &e.to_string(), e.help()))?;
    if reply.is_success() {
        return Ok(reply.text());
    }
    let help = "see whether the distribution still has it there, or give the image as a URL, with `image-checksum`";
    Err(not_fetched(url, &format!("the server answered {}", reply.status()), help.to_owned()))
}

fn address(url: &str) -> Result<Url, DriverError> {
    Url::parse(url).map_err(|e| not_fetched(url, &e.to_string(), "correct the URL".to_owned()))
}

fn not_fetched(url: &str, why: &str, help: String) -> DriverError {
    DriverError::Refused { doing: format!("fetching {url}"), why: why.to_owned(), help }
}

/// That it stands alone: a qcow2 image may name another file as what is below it, or as where its data is (its format's
/// description: `backing_file_offset`, and the third of its incompatible features), and would show that to the machine.
fn whole(from: &str, path: &Path) -> Result<(), DriverError> {
    let mut head = [0; 80];
    let read = File::open(path).and_then(|mut file| {
        let mut filled = 0;
        while let count @ 1.. = file.read(&mut head[filled..])? {
            filled += count;
        }
        Ok(())
    });
    read.map_err(files::because("reading the image", path))?;
    let below = head[8..16] != [0; 8];
    let apart = head[7] >= 3 && head[79] & 4 != 0;
    if !head.starts_with(b"QFI\xfb") || !(below || apart) {
        return Ok(());
    }
    Err(DriverError::Refused {
        doing: format!("using the image {from}"),
        why: "it is only a part of an image, and refers to another file".to_owned(),
        help: "make one of both first:\n  qemu-img convert -O qcow2 IMAGE WHOLE.qcow2".to_owned(),
    })
}

#[cfg(test)]
#[path = "image_tests.rs"]
mod tests;
