//! What a disk holds, whatever it is kept in: bytes by place.

use super::qcow2::Qcow2;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

/// The content of a disk.
pub(super) trait Raw: Send {
    /// Bytes it has.
    fn size(&self) -> u64;

    /// Reads what is at a place into a buffer of zeros; false: it is all zeros there.
    ///
    /// # Errors
    /// When the file below cannot be read, or makes no sense.
    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<bool>;
}

/// Bytes in memory, and zeros after them.
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Raw for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<bool> {
        let from = usize::try_from(at).map_or(self.0.len(), |at| at.min(self.0.len()));
        let rest = &self.0[from..];
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count > 0)
    }
}

/// A file that is the disk, byte by byte.
struct Plain {
    file: File,
    size: u64,
}

impl Raw for Plain {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<bool> {
        self.file.seek(SeekFrom::Start(at))?;
        self.file.read_exact(into)?;
        Ok(true)
    }
}

/// In which form a disk is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// Byte by byte.
    Plain,
    /// As QEMU keeps it.
    Qcow2,
    /// One that VirtualBox itself reads: VDI, VMDK, VHD.
    Own,
}

impl Form {
    /// What the first bytes of a file say.
    ///
    /// # Errors
    /// When it is something packed, or a page that says that there is no such image.
    pub(super) fn of(first: &[u8]) -> Result<Self, &'static str> {
        let own: [&[u8]; 4] = [b"<<< ", b"KDMV", b"conectix", b"# Disk DescriptorFile"];
        let packed: [&[u8]; 5] = [b"\xfd7zXZ", b"\x1f\x8b", b"BZh", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"];
        let is = |heads: &[&[u8]]| heads.iter().any(|head| first.starts_with(head));
        let page = first.trim_ascii_start().first() == Some(&b'<') && !first.starts_with(b"<<< ");
        match () {
            () if first.starts_with(b"QFI\xfb") => Ok(Self::Qcow2),
            () if is(&own) => Ok(Self::Own),
            () if is(&packed) => Err("it is packed: unpack it first"),
            () if page => Err("it is a web page, and no disk"),
            () if first.iter().all(|byte| *byte == 0) && first.is_empty() => Err("it is empty"),
            () => Ok(Self::Plain),
        }
    }

    /// What a file holds.
    ///
    /// # Errors
    /// When it cannot be read, or is no disk.
    pub(super) fn of_file(path: &Path) -> io::Result<Self> {
        let mut first = Vec::new();
        File::open(path)?.take(512).read_to_end(&mut first)?;
        Self::of(&first).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))
    }
}

/// The disk in a file of a form that we read ourselves.
///
/// # Errors
/// When it cannot be read.
pub(super) fn open(path: &Path, form: Form) -> io::Result<Box<dyn Raw>> {
    let mut file = File::open(path)?;
    if form == Form::Qcow2 {
        return Ok(Box::new(Qcow2::open(file)?));
    }
    let size = file.seek(SeekFrom::End(0))?;
    Ok(Box::new(Plain { file, size }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_bytes_say_what_a_file_holds() {
        assert_eq!(Form::of(b"QFI\xfb\0\0\0\x03"), Ok(Form::Qcow2));
        assert_eq!(Form::of(b"<<< Oracle VM VirtualBox Disk Image >>>"), Ok(Form::Own));
        assert_eq!(Form::of(b"# Disk DescriptorFile\nversion=1"), Ok(Form::Own));
        assert_eq!(Form::of(b"\xeb\x63\x90"), Ok(Form::Plain));
        assert_eq!(Form::of(&[0; 512]), Ok(Form::Plain));
        for bad in [&b"\x1f\x8b\x08"[..], b"\n<!DOCTYPE html>", b"", b"\xfd7zXZ\0"] {
            assert!(Form::of(bad).is_err(), "{bad:?}");
        }
    }
}
