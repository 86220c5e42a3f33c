//! The disk of a machine: what it wrote over its image, in a file of its own that grows as it is written.

use super::{
    command::{DISK, SOCKET},
    place::Folder,
    program::Program,
    qmp::Qmp,
};
use crate::{
    driver::{DriverError, files, options::show_size},
    fault,
};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    io::Read,
    path::Path,
};

/// Makes the disk; nothing to do when it is there.
pub(super) async fn make(folder: &Folder, image: &Path, size: u64) -> Result<(), DriverError> {
    if folder.disk().is_file() {
        return Ok(());
    }
    let least = info(image, format(image)?).await?["virtual-size"].as_u64().unwrap_or_default();
    if size < least {
        return Err(DriverError::Refused {
            doing: "making the disk".to_owned(),
            why: format!("its image alone has {}, more than {}", show_size(least), show_size(size)),
            help: format!("give `disk-size: {}GiB` or more", least.div_ceil(1 << 30)),
        });
    }
    let unfinished = folder.path.join("disk.new");
    let base = ["create", "-q", "-f", "qcow2", "-F", format(image)?, "-b"];
    Program::new("qemu-img", "making the disk")
        .args(base)
        .args([image, &unfinished])
        .args([size.to_string()])
        .run()
        .await?;
    fault::point("qemu.disk.rename", folder.disk())
        .and_then(|()| fs::rename(&unfinished, folder.disk()))
        .map_err(files::because("renaming", &unfinished))
}

/// What kind of image a file is, by its first bytes.
fn format(path: &Path) -> Result<&'static str, DriverError> {
    let mut magic = [0; 4];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut magic));
    match read {
        Ok(()) if &magic == b"QFI\xfb" => Ok("qcow2"),
        Ok(()) => Ok("raw"),
        Err(e) => Err(files::because("reading the image", path)(e)),
    }
}

/// Makes the disk larger, whether the machine runs or not. The machine takes what there is at its next start.
pub(super) async fn grow(folder: &Folder, size: u64, running: bool) -> Result<(), DriverError> {
    if !folder.disk().is_file() {
        return Ok(());
    }
    let now = info(&folder.disk(), "qcow2").await?["virtual-size"].as_u64().unwrap_or_default();
    if size < now {
        return Err(DriverError::Refused {
            doing: "changing the disk".to_owned(),
            why: format!("it has {} and would lose what is beyond {}", show_size(now), show_size(size)),
            help: format!("give `disk-size: {}` again, or remove the machine and create it anew", show_size(now)),
        });
    }
    if size == now {
        return Ok(());
    }
    fault::pass("qemu.resize", folder.disk());
    if running {
        let mut qmp = Qmp::connect(&folder.path, SOCKET).await?;
        return qmp.ask("block_resize", json!({ "node-name": DISK, "size": size })).await.map(drop);
    }
    let resize = Program::new("qemu-img", "changing the disk").args(["resize", "-q", "-f", "qcow2"]);
    resize.args([folder.disk()]).args([size.to_string()]).run().await.map(drop)
}

/// What qemu says of an image. Of one that is in use too: nothing is changed.
pub(super) async fn info(path: &Path, format: &str) -> Result<Value, DriverError> {
    let doing = format!("looking at {}", path.display());
    let said =
        Program::new("qemu-img", &doing).args(["info", "-U", "--output=json", "-f", format]).args([path]).run().await?;
    serde_json::from_str(&said).map_err(|e| DriverError::Refused {
        doing,
        why: format!("`qemu-img` did not answer with JSON: {e}"),
        help: "install a `qemu-img` of the same version as the rest of qemu".to_owned(),
    })
}
