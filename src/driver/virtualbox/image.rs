//! The cloud image a machine is made from: which texts name one, and where its file is.

use super::options::Options;
use crate::{
    driver::{DriverContext, DriverError, files},
    http::{Download, Http, Sum, Url},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What to write instead of something that is none.
pub(super) const LEGAL: &str = "give debian-13, debian-12, ubuntu-24.04, ubuntu-22.04, the whole path of a file, or an \
                                address that begins with `https://` together with `image-checksum`";

/// An image of a distribution. VMs of VirtualBox have hardware that exists, so it is not the one for clouds, whose kernel
/// has no drivers for that.
struct Preset {
    name: &'static str,
    folder: &'static str,
    file: &'static str,
    sums: &'static str,
}

const PRESETS: [Preset; 4] = [
    Preset {
        name: "debian-13",
        folder: "https://cloud.debian.org/images/cloud/trixie/latest/",
        file: "debian-13-generic-amd64.qcow2",
        sums: "SHA512SUMS",
    },
    Preset {
        name: "debian-12",
        folder: "https://cloud.debian.org/images/cloud/bookworm/latest/",
        file: "debian-12-generic-amd64.qcow2",
        sums: "SHA512SUMS",
    },
    Preset {
        name: "ubuntu-24.04",
        folder: "https://cloud-images.ubuntu.com/releases/noble/release/",
        file: "ubuntu-24.04-server-cloudimg-amd64.img",
        sums: "SHA256SUMS",
    },
    Preset {
        name: "ubuntu-22.04",
        folder: "https://cloud-images.ubuntu.com/releases/jammy/release/",
        file: "ubuntu-22.04-server-cloudimg-amd64.img",
        sums: "SHA256SUMS",
    },
];

fn is_address(text: &str) -> bool {
    ["http://", "https://"].iter().any(|head| text.starts_with(head))
}

/// Whether a text names an image.
///
/// # Errors
/// Says that it does not.
pub(super) fn check(text: &str) -> Result<(), String> {
    let file = ["/", "~/"].iter().any(|head| text.starts_with(head));
    let known = file || is_address(text) || PRESETS.iter().any(|preset| preset.name == text);
    if known { Ok(()) } else { Err(format!("there is no image `{text}`")) }
}

/// Whether what stands there must be told by a checksum.
pub(super) fn needs_checksum(text: &str) -> bool {
    is_address(text)
}

/// The file of the image, fetched if need be.
pub(super) async fn file(cx: &DriverContext<'_>, text: &str, options: &Options) -> Result<PathBuf, DriverError> {
    let given = options.image_checksum.as_deref().and_then(Sum::parse);
    if let Some(preset) = PRESETS.iter().find(|preset| preset.name == text) {
        let url = format!("{}{}", preset.folder, preset.file);
        let sum = match given {
            Some(sum) => sum,
            None => match published(cx, preset).await {
                Ok(sum) => sum,
                // Better the one of some days ago than none.
                Err(e) => {
                    let old = newest(preset.name).ok_or(e)?;
                    (cx.progress)(&format!("the newest {text} cannot be asked for: going on with {}", old.display()));
                    return Ok(old);
                }
            },
        };
        return fetched(cx, preset.name, &url, sum).await;
    }
    if is_address(text) {
        let sum = given.ok_or_else(|| refused(text, "it is not known what it must be", "give `image-checksum`"))?;
        return fetched(cx, "image", text, sum).await;
    }
    let path = text.strip_prefix("~/").map_or_else(|| PathBuf::from(text), |rest| home().join(rest));
    if let Some(sum) = given {
        verify(&path, sum).await?;
    }
    Ok(path)
}

/// The checksum that the distribution names.
async fn published(cx: &DriverContext<'_>, preset: &Preset) -> Result<Sum, DriverError> {
    let url = format!("{}{}", preset.folder, preset.sums);
    let to = cx.dir.join(".new-sums");
    let what = Download { url: address(&url)?, to: to.clone(), sum: None };
    Http::shared().download(&what, &|_| ()).await.map_err(|e| refused(&url, &e.to_string(), &e.help()))?;
    let list = files::read(&to)?.unwrap_or_default();
    super::disk::erase(&to)?;
    listed(&list, preset.file).ok_or_else(|| {
        refused(
            &url,
            &format!("it does not name {}", preset.file),
            "give the image as an address with `image-checksum`",
        )
    })
}

/// The checksum of a file in a list of them, as coreutils writes it.
fn listed(list: &str, file: &str) -> Option<Sum> {
    list.lines().find_map(|line| {
        let (digits, name) = line.split_once(char::is_whitespace)?;
        (name.trim_start().trim_start_matches('*') == file).then(|| Sum::parse(digits))?
    })
}

/// An image from elsewhere, by what it must be: what is in the cache is complete and right.
async fn fetched(cx: &DriverContext<'_>, label: &str, url: &str, sum: Sum) -> Result<PathBuf, DriverError> {
    let folder = cache().join("images");
    files::folder(&folder, 0o700)?;
    let to = folder.join(format!("{label}.{}", &sum.digits()[..12]));
    if to.is_file() {
        return Ok(to);
    }
    let waiting = || (cx.progress)(&format!("waiting for another run to fetch {url}"));
    let _lock = files::lock(&folder.join(format!(".{label}.lock")), waiting).await?;
    if !to.is_file() {
        let what = Download { url: address(url)?, to: to.clone(), sum: Some(sum) };
        Http::shared().download(&what, cx.progress).await.map_err(|e| refused(url, &e.to_string(), &e.help()))?;
    }
    Ok(to)
}

/// The image of a label that was fetched last.
fn newest(label: &str) -> Option<PathBuf> {
    let all = fs::read_dir(cache().join("images")).ok()?.flatten();
    let is_whole = |name: &str| name.strip_prefix(label).is_some_and(|rest| rest.starts_with('.') && rest.len() == 13);
    let ours = all.filter(|entry| entry.file_name().to_str().is_some_and(is_whole));
    ours.max_by_key(|entry| entry.metadata().and_then(|data| data.modified()).ok()).map(|entry| entry.path())
}

async fn verify(path: &Path, wanted: Sum) -> Result<(), DriverError> {
    let (file, sum) = (path.to_owned(), wanted.clone());
    let found = tokio::task::spawn_blocking(move || sum.of_file(&file)).await;
    let found = found.unwrap_or_else(|e| Err(std::io::Error::other(e))).map_err(files::because("reading", path))?;
    if found == wanted {
        return Ok(());
    }
    let why = format!("its checksum is {}, and should be {}", found.digits(), wanted.digits());
    Err(DriverError::Refused {
        doing: format!("using the image {}", path.display()),
        why,
        help: "correct the checksum, or find out who changed the file; do not use it".to_owned(),
    })
}

fn address(url: &str) -> Result<Url, DriverError> {
    Url::parse(url).map_err(|e| refused(url, &e.to_string(), "correct the address"))
}

pub(super) fn refused(url: &str, why: &str, help: &str) -> DriverError {
    DriverError::Refused { doing: format!("fetching {url}"), why: why.to_owned(), help: help.to_owned() }
}

/// The user's home.
pub(super) fn home() -> PathBuf {
    std::env::home_dir().unwrap_or_default()
}

/// Where we keep what all stores share.
pub(super) fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| Path::new(dir).is_absolute());
    cache.map_or_else(|| home().join(".cache"), Into::into).join("machine").join("virtualbox")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_found_by_the_files_name() {
        let (a, b) = ("a".repeat(128), "b".repeat(128));
        let list = format!("{a}  debian-12-generic-amd64.qcow2\n{b} *debian-13-generic-amd64.qcow2\n");
        assert_eq!(listed(&list, "debian-13-generic-amd64.qcow2"), Some(Sum::Sha512(b)));
        assert_eq!(listed(&list, "debian-13-generic-amd64"), None);
    }

    #[test]
    fn an_image_is_a_name_we_know_a_whole_path_or_an_address() {
        for good in ["debian-13", "/srv/x.qcow2", "~/x.img", "https://example.com/x.qcow2"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in ["", "debian", "x.qcow2", "./x"] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
