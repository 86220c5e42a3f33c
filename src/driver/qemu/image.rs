//! Images that machines stand on: the cloud images of distributions, or the user's own.
//!
//! An image in the cache is complete, is what its checksum says, and never changes; fetching happens beside it and ends
//! with a rename. Machines write into disks of their own above it.

use super::{command::Arch, place::Place, program::Program};
use crate::{
    digest::sha256_hex,
    driver::{DriverError, files},
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

/// Cloud images by name. `{}` is the architecture as the distribution calls it; the checksums stand in the file beside.
const PRESETS: [Preset; 5] = [
    Preset {
        name: "debian-13",
        folder: "https://cloud.debian.org/images/cloud/trixie/latest/",
        file: "debian-13-genericcloud-{}.qcow2",
        sums: "SHA512SUMS",
        arch: Arch::debian,
    },
    Preset {
        name: "debian-12",
        folder: "https://cloud.debian.org/images/cloud/bookworm/latest/",
        file: "debian-12-genericcloud-{}.qcow2",
        sums: "SHA512SUMS",
        arch: Arch::debian,
    },
    Preset {
        name: "ubuntu-24.04",
        folder: "https://cloud-images.ubuntu.com/releases/noble/release/",
        file: "ubuntu-24.04-server-cloudimg-{}.img",
        sums: "SHA256SUMS",
        arch: Arch::debian,
    },
    Preset {
        name: "ubuntu-22.04",
        folder: "https://cloud-images.ubuntu.com/releases/jammy/release/",
        file: "ubuntu-22.04-server-cloudimg-{}.img",
        sums: "SHA256SUMS",
        arch: Arch::debian,
    },
    Preset {
        name: "fedora-43",
        folder: "https://download.fedoraproject.org/pub/fedora/linux/releases/43/Cloud/{}/images/",
        file: "Fedora-Cloud-Base-Generic-43-1.6.{}.qcow2",
        sums: "Fedora-Cloud-43-1.6-{}-CHECKSUM",
        arch: Arch::name,
    },
];

struct Preset {
    name: &'static str,
    folder: &'static str,
    file: &'static str,
    sums: &'static str,
    arch: fn(Arch) -> &'static str,
}

/// What the option `image` means.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Image {
    /// One of a distribution.
    Preset {
        /// As the user names it.
        name: &'static str,
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

impl Image {
    /// Pure. Reads the option; the error says what is wrong.
    pub(super) fn parse(text: &str, arch: Arch) -> Result<Self, String> {
        if let Some(preset) = PRESETS.iter().find(|preset| preset.name == text) {
            let of = |text: &str| text.replace("{}", (preset.arch)(arch));
            let (folder, file) = (of(preset.folder), of(preset.file));
            let (url, sums) = (format!("{folder}{file}"), format!("{folder}{}", of(preset.sums)));
            return Ok(Self::Preset { name: preset.name, url, file, sums });
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Self::Url(text.to_owned()));
        }
        if text.contains('/') || [".qcow2", ".img", ".raw"].iter().any(|ending| text.ends_with(ending)) {
            return Ok(Self::File(text.into()));
        }
        Err(format!("`{}` is no image", text.escape_default()))
    }
}

/// What is legal, for help.
pub(super) fn legal() -> String {
    let names: Vec<String> = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
    format!("use one of {}, a URL with `image-checksum`, or a file, qcow2 or raw", names.join(", "))
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

/// The image of a machine in the cache, fetched first if it is not there yet.
pub(super) async fn ensure(
    place: &Place,
    image: &Image,
    checksum: Option<&str>,
    arch: Arch,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<PathBuf, DriverError> {
    files::folder(&place.images, 0o700)?;
    let given = checksum.and_then(Sum::parse);
    match image {
        Image::File(path) => own(place, path, given, progress).await,
        Image::Url(url) => {
            let checksum = given.ok_or_else(|| unknown(url))?;
            fetched(place, "image", url, &checksum, progress).await
        }
        Image::Preset { name, url, file, sums } => {
            let label = format!("{name}-{}", arch.name());
            if let Some(checksum) = given {
                return fetched(place, &label, url, &checksum, progress).await;
            }
            progress(&format!("asking for the newest {name}"));
            let list = match text(sums).await {
                Ok(list) => list,
                Err(e) => {
                    // Better the one of some days ago than none.
                    let Some(old) = newest(place, &label) else { return Err(e) };
                    progress(&format!("going on with {}, for the newest is not known: {e}", old.display()));
                    return Ok(old);
                }
            };
            let checksum = listed(&list, file).ok_or_else(|| DriverError::Refused {
                doing: format!("looking for the checksum of {file}"),
                why: format!("{sums} does not name it"),
                help: "give the image as a URL, with `image-checksum`".to_owned(),
            })?;
            fetched(place, &label, url, &checksum, progress).await
        }
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
pub(super) fn unread(what: &str, path: &Path) -> impl FnOnce(io::Error) -> DriverError {
    let doing = format!("reading the {what} {}", path.display());
    move |e| DriverError::Refused {
        doing,
        why: e.to_string(),
        help: "give the full path of a file that is there and that you may read".to_owned(),
    }
}

/// The image of a label that was fetched last.
fn newest(place: &Place, label: &str) -> Option<PathBuf> {
    let all = fs::read_dir(&place.images).ok()?.flatten();
    let ours = all.filter(|entry| {
        let name = entry.file_name();
        name.to_str()
            .and_then(|name| name.strip_prefix(label))
            .is_some_and(|rest| rest.starts_with('.') && rest.len() == 13)
    });
    ours.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok()).map(|entry| entry.path())
}

/// A file of the user, as it is now: machines must not lose what they stand on when the file is replaced.
async fn own(
    place: &Place,
    path: &Path,
    checksum: Option<Sum>,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<PathBuf, DriverError> {
    let path = path.canonicalize().map_err(unread("image", path))?;
    let data = fs::metadata(&path).map_err(files::because("reading the image", &path))?;
    let text = format!("{} {} {} {}", path.display(), data.size(), data.mtime(), data.mtime_nsec());
    let key = format!("file.{}", &sha256_hex(text.as_bytes())[..12]);
    let from = path.clone();
    kept(place, &key, &path.display().to_string(), checksum, progress, async move |to: PathBuf| {
        progress(&format!("copying image {}", from.display()));
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
async fn fetched(
    place: &Place,
    label: &str,
    url: &str,
    checksum: &Sum,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<PathBuf, DriverError> {
    let key = format!("{label}.{}", &checksum.digits()[..12]);
    kept(place, &key, url, None, progress, async |to: PathBuf| {
        let what = Download { url: address(url)?, to, sum: Some(checksum.clone()) };
        Http::shared().download(&what, progress).await.map_err(|e| not_fetched(url, &e.to_string(), e.help()))
    })
    .await
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

/// The image `key` of the cache; `get` brings it to where it is told if it is not there.
async fn kept(
    place: &Place,
    key: &str,
    from: &str,
    checksum: Option<Sum>,
    progress: &(dyn Fn(&str) + Send + Sync),
    get: impl AsyncFnOnce(PathBuf) -> Result<(), DriverError>,
) -> Result<PathBuf, DriverError> {
    let done = place.images.join(key);
    if done.is_file() {
        return Ok(done);
    }
    let waiting = || progress(&format!("waiting for another run to fetch {from}"));
    let _lock = files::lock(&place.images.join(format!(".{key}.lock")), waiting).await?;
    if done.is_file() {
        return Ok(done);
    }
    let unfinished = place.images.join(format!(".{key}.new"));
    let removed = |path: &Path| match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(files::because("removing", path)(e)),
        _ => Ok(()),
    };
    removed(&unfinished)?;
    let result = async {
        get(unfinished.clone()).await?;
        if let Some(checksum) = checksum {
            verify(from, &unfinished, checksum, progress).await?;
        }
        plain(from, &unfinished).await
    };
    if let Err(e) = result.await {
        removed(&unfinished)?;
        return Err(e);
    }
    fault::point("qemu.image.rename", &done)
        .and_then(|()| fs::rename(&unfinished, &done))
        .map_err(files::because("renaming", &unfinished))?;
    Ok(done)
}

async fn verify(
    from: &str,
    path: &Path,
    checksum: Sum,
    progress: &(dyn Fn(&str) + Send + Sync),
) -> Result<(), DriverError> {
    progress("comparing the image with its checksum");
    let (file, wanted) = (path.to_owned(), checksum.clone());
    let compared = tokio::task::spawn_blocking(move || wanted.of_file(&file)).await;
    let found = compared.unwrap_or_else(|e| Err(io::Error::other(e))).map_err(files::because("reading", path))?;
    if found == checksum {
        return Ok(());
    }
    Err(DriverError::Refused {
        doing: format!("using the image {from}"),
        why: format!("its checksum is {}, and should be {}", found.digits(), checksum.digits()),
        help: "correct the checksum, or find out who changed the file; do not use it".to_owned(),
    })
}

/// What kind of image a file is, by its first bytes.
pub(super) fn format(path: &Path) -> Result<&'static str, DriverError> {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if &magic == b"QFI\xfb" => Ok("qcow2"),
        Ok(()) => Ok("raw"),
        Err(e) => Err(files::because("reading the image", path)(e)),
    }
}

/// That it stands alone: an image that names another file as its own base would show that file to the machine.
async fn plain(from: &str, path: &Path) -> Result<(), DriverError> {
    if format(path)? == "raw" {
        return Ok(());
    }
    let program = Program::new("qemu-img", format!("looking at the image {from}"));
    let said = program.args(["info", "--output=json", "-f", "qcow2"]).args([path]).run().await?;
    let info: serde_json::Value = serde_json::from_str(&said).unwrap_or_default();
    let data = info.pointer("/format-specific/data/data-file").is_some();
    if info.get("backing-filename").is_none() && !data {
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
