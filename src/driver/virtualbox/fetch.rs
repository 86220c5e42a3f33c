//! CDs of boot2docker from the network, and the one that docker-machine keeps in its store.

use super::boot2docker::{FILE, Releases, version};
use crate::{
    driver::{DriverContext, DriverError, files},
    http::{Download, Http, Url},
};
use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

/// Brings a CD; the file it is in, unless it went to the machine's folder at once.
pub(super) async fn cd(cx: &DriverContext<'_>, url: &str) -> Result<Option<PathBuf>, DriverError> {
    let Some(releases) = Releases::of(url) else {
        download(cx, url, &cx.dir.join(FILE)).await?;
        return Ok(None);
    };
    // One for all machines of the store, as docker-machine has it.
    let folder = cx.dir.parent().and_then(Path::parent).unwrap_or(cx.dir).join("cache");
    files::folder(&folder, 0o700)?;
    let cached = folder.join(FILE);
    let have = label(&cached);
    let newest = match newest(cx, &releases).await {
        Ok(tag) => tag,
        Err(e) if have.is_some() => {
            (cx.progress)(&format!(
                "the newest boot2docker cannot be asked for, so the one in the cache is taken: {e}"
            ));
            return Ok(Some(cached));
        }
        Err(e) => return Err(e),
    };
    if have.as_ref() != Some(&newest) {
        let waiting = || (cx.progress)("waiting for another run to fetch boot2docker");
        let _lock = files::lock(&folder.join(".boot2docker.lock"), waiting).await?;
        if label(&cached).as_ref() != Some(&newest) {
            download(cx, &releases.cd(&newest), &cached).await?;
        }
    }
    Ok(Some(cached))
}

/// The version on a CD's label; none when there is no CD.
fn label(cd: &Path) -> Option<String> {
    let mut first = Vec::new();
    File::open(cd).ok()?.take(0x9000).read_to_end(&mut first).ok()?;
    version(&first)
}

/// The tag of the newest release.
async fn newest(cx: &DriverContext<'_>, releases: &Releases) -> Result<String, DriverError> {
    let to = cx.dir.join(".new-release");
    download(cx, &releases.newest, &to).await?;
    let text = files::read(&to)?.unwrap_or_default();
    super::disk::erase(&to)?;
    let document: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
    let tag = document.get("tag_name").and_then(serde_json::Value::as_str);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._+".contains(c);
    tag.filter(|tag| !tag.is_empty() && tag.chars().all(plain)).map(str::to_owned).ok_or_else(|| {
        refused(
            &releases.newest,
            "the answer names no release",
            "give the address of the CD itself as `boot2docker-url`",
        )
    })
}

async fn download(cx: &DriverContext<'_>, url: &str, to: &Path) -> Result<(), DriverError> {
    let address = Url::parse(url).map_err(|e| refused(url, &e.to_string(), "correct `boot2docker-url`"))?;
    let what = Download { url: address, to: to.to_owned(), sum: None };
    Http::shared().download(&what, cx.progress).await.map_err(|e| refused(url, &e.to_string(), &e.help()))
}

fn refused(url: &str, why: &str, help: &str) -> DriverError {
    DriverError::Refused { doing: format!("fetching {url}"), why: why.to_owned(), help: help.to_owned() }
}
