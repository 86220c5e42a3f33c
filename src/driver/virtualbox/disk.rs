//! The disk of a machine: a file in its folder, written whole before any VM knows of it.

use super::{
    cache,
    manage::{Manage, io as failed},
    options::Options,
    raw::{self, Form, Raw},
    vdi::{self, Identity},
};
use crate::{
    driver::{
        DriverContext, DriverError, files,
        local::{Arch, Cache, Hardware, Image},
    },
    fault,
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The disk's file in the machine's folder.
pub(super) const FILE: &str = "disk.vdi";

/// Makes the disk from a cloud image.
pub(super) async fn of_image(
    manage: &Manage,
    cx: &DriverContext<'_>,
    text: &str,
    options: &Options,
) -> Result<PathBuf, DriverError> {
    let size = options.disk_size;
    let folder = cache::folder().join("images");
    let from = Cache::at(&folder, cx.progress)?.source(&image(text)?, options.image_checksum.as_deref()).await?;
    let doing = format!("reading the image {}", from.display());
    let form = Form::of_file(&from).map_err(|e| unusable(&doing, &e))?;
    (cx.progress)("copying the image to a disk");
    let to = cx.dir.join(FILE);
    forget(manage, &to).await;
    if form == Form::Own {
        return of_own(manage, cx, &from, &to, size).await;
    }
    write(&doing, &to, size, move || raw::open(&from, form)).await?;
    Ok(to)
}

fn image(text: &str) -> Result<Image, DriverError> {
    Image::parse(text, Hardware::Real, Arch::X86_64).map_err(|why| DriverError::Refused {
        doing: "choosing the image".to_owned(),
        why,
        help: Image::legal(Hardware::Real),
    })
}

/// Makes a disk that begins with some bytes, and is empty after them.
pub(super) async fn of_bytes(
    manage: &Manage,
    cx: &DriverContext<'_>,
    bytes: Vec<u8>,
    size: u64,
) -> Result<PathBuf, DriverError> {
    let to = cx.dir.join(FILE);
    forget(manage, &to).await;
    write("making the disk", &to, size, move || Ok(Box::new(raw::Bytes(bytes)))).await?;
    Ok(to)
}

/// Makes the disk from one that VirtualBox reads itself.
pub(super) async fn of_own(
    manage: &Manage,
    cx: &DriverContext<'_>,
    from: &Path,
    to: &Path,
    size: u64,
) -> Result<PathBuf, DriverError> {
    let doing = format!("copying the disk {}", from.display());
    let new = cx.dir.join(".new-disk.vdi");
    forget(manage, &new).await;
    erase(&new)?;
    let (source, target) = (from.display().to_string(), new.display().to_string());
    manage.run(&doing, &["clonemedium", "disk", &source, &target, "--format", "VDI"]).await?;
    if size > 0 {
        match manage.run(&doing, &["modifymedium", "disk", &target, "--resize", &(size >> 20).to_string()]).await {
            // It is larger already.
            Err(failure) if failure.says("Shrinking") => {}
            Err(failure) => return Err(failure.into()),
            Ok(_) => {}
        }
    }
    // VirtualBox remembers both by their places, which is only in the way.
    forget(manage, &new).await;
    forget(manage, from).await;
    rename(&new, to).map_err(|e| failed(&doing, &e))?;
    Ok(to.to_owned())
}

/// Lets VirtualBox forget a file that no VM uses; one that a VM uses it keeps.
pub(super) async fn forget(manage: &Manage, path: &Path) {
    let _ = manage.ask("forgetting a disk", &["closemedium".as_ref(), "disk".as_ref(), path.as_os_str()]).await;
}

/// The same for what is used as a CD.
pub(super) async fn forget_cd(manage: &Manage, path: &Path) {
    let _ = manage.ask("forgetting a CD", &["closemedium".as_ref(), "dvd".as_ref(), path.as_os_str()]).await;
}

async fn write(
    doing: &str,
    to: &Path,
    size: u64,
    open: impl FnOnce() -> io::Result<Box<dyn Raw>> + Send + 'static,
) -> Result<(), DriverError> {
    let to = to.to_owned();
    let work = move || -> io::Result<()> {
        let mut from = open()?;
        let folder = to.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fault::point("virtualbox.disk", &to)?;
        let mut file = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
        let identity = Identity { disk: random()?, change: random()? };
        vdi::write(&mut *from, size, identity, file.as_file_mut())?;
        file.as_file().sync_all()?;
        fault::point("virtualbox.disk.rename", &to)?;
        file.persist(&to)?;
        fault::point("virtualbox.disk.done", &to)?;
        File::open(folder)?.sync_all()
    };
    let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| Err(io::Error::other(e)));
    done.map_err(|e| unusable(doing, &e))
}

/// A random UUID (version 4), in the order of bytes that VDI has.
fn random() -> io::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    bytes[7] = bytes[7] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(bytes)
}

fn rename(from: &Path, to: &Path) -> io::Result<()> {
    fault::point("virtualbox.disk.rename", to)?;
    fs::rename(from, to)
}

/// Removes a file. Nothing to do when it is gone.
pub(super) fn erase(path: &Path) -> Result<(), DriverError> {
    match fault::point("virtualbox.erase", path).and_then(|()| fs::remove_file(path)) {
        Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(files::because("removing", path)(e))
        }
        _ => Ok(()),
    }
}

fn unusable(doing: &str, error: &io::Error) -> DriverError {
    let help = match error.kind() {
        io::ErrorKind::NotFound => "give `image` the path of a file that is there",
        io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            "give `image` a disk image: qcow2, raw, VDI, VMDK or VHD, not packed"
        }
        _ => return failed(doing, error),
    };
    DriverError::Refused { doing: doing.to_owned(), why: error.to_string(), help: help.to_owned() }
}

/// Makes a disk larger, if it is smaller than that.
pub(super) async fn grow(manage: &Manage, path: &Path, size: u64) -> Result<(), DriverError> {
    let (doing, name) = ("changing the disk's size", path.display().to_string());
    let said = manage.ask(doing, &["showmediuminfo", "disk", &name]).await?;
    let capacity = said.lines().find_map(|line| line.strip_prefix("Capacity:")).and_then(|rest| {
        let mut words = rest.split_whitespace();
        words.next()?.parse::<u64>().ok()
    });
    let wanted = size >> 20;
    match capacity {
        Some(there) if there == wanted => Ok(()),
        Some(there) if there > wanted => Err(DriverError::Refused {
            doing: doing.to_owned(),
            why: format!("the disk has {there} MiB, and a disk cannot be made smaller"),
            help: format!("give `disk-size` {there} or more, or make the machine anew"),
        }),
        _ => {
            manage.run(doing, &["modifymedium", "disk", &name, "--resize", &wanted.to_string()]).await?;
            Ok(())
        }
    }
}
