//! A disk of VirtualBox's own format (VDI 1.1, dynamic): as large as it is told, holding what is not zero.

use super::raw::Raw;
use std::io::{self, Seek, SeekFrom, Write};

/// Bytes of one block; VirtualBox makes no others.
const BLOCK: u64 = 1 << 20;
/// Where the map of blocks begins.
const MAP: u64 = 1 << 20;
/// A block that was never written, and reads as zeros.
const FREE: u32 = 0xffff_ffff;
/// Blocks that the map has room for, in the largest disk VirtualBox takes from us (1 TiB of blocks times four).
const MOST: u64 = 4 << 20;

/// What a disk needs to be told apart from all others.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identity {
    /// The disk.
    pub(super) disk: [u8; 16],
    /// Its last change.
    pub(super) change: [u8; 16],
}

/// Writes `from` as a disk of at least `size` bytes to `to`, which must be empty; how many bytes the disk has.
///
/// # Errors
/// When either cannot be read or written, or when the disk would be larger than VirtualBox can handle.
pub(super) fn write(
    from: &mut dyn Raw,
    size: u64,
    identity: Identity,
    to: &mut (impl Write + Seek),
) -> io::Result<u64> {
    let size = size.max(from.size()).div_ceil(BLOCK).max(1) * BLOCK;
    let blocks = size / BLOCK;
    let count = u32::try_from(blocks).ok().filter(|_| blocks <= MOST).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidInput, format!("a disk of {} GiB is too large", size >> 30))
    })?;
    let data = MAP + (blocks * 4).div_ceil(BLOCK) * BLOCK;
    let mut map = Vec::new();
    let mut used: u32 = 0;
    let mut block = vec![0; usize::try_from(BLOCK).expect("a block fits into memory")];
    to.seek(SeekFrom::Start(data))?;
    for n in 0..blocks {
        let at = n * BLOCK;
        let there = at < from.size() && {
            block.fill(0);
            let rest = usize::try_from((from.size() - at).min(BLOCK)).expect("a block fits into memory");
            from.read(at, &mut block[..rest])? && block.iter().any(|byte| *byte != 0)
        };
        if there {
            to.write_all(&block)?;
            map.extend(used.to_le_bytes());
            used += 1;
        } else {
            map.extend(FREE.to_le_bytes());
        }
    }
    to.seek(SeekFrom::Start(MAP))?;
    to.write_all(&map)?;
    // The head comes last: a file without it is no disk.
    let data = u32::try_from(data).expect("a map of so many blocks ends below 4 GiB");
    to.seek(SeekFrom::Start(0))?;
    to.write_all(&head(size, count, used, data, identity))?;
    to.flush()?;
    Ok(size)
}

fn head(size: u64, blocks: u32, used: u32, data: u32, identity: Identity) -> [u8; 512] {
    let mut head = [0; 512];
    let mut put = |at: usize, bytes: &[u8]| head[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, b"<<< Oracle VM VirtualBox Disk Image >>>\n");
    put(64, &0xbeda_107f_u32.to_le_bytes());
    put(68, &0x0001_0001_u32.to_le_bytes());
    put(72, &400_u32.to_le_bytes());
    put(76, &1_u32.to_le_bytes());
    put(340, &u32::try_from(MAP).expect("one MiB").to_le_bytes());
    put(344, &data.to_le_bytes());
    put(360, &512_u32.to_le_bytes());
    put(368, &size.to_le_bytes());
    put(376, &u32::try_from(BLOCK).expect("one MiB").to_le_bytes());
    put(384, &blocks.to_le_bytes());
    put(388, &used.to_le_bytes());
    put(392, &identity.disk);
    put(408, &identity.change);
    put(468, &512_u32.to_le_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::super::raw::Bytes;
    use super::*;
    use std::io::Cursor;

    const IDENTITY: Identity = Identity { disk: [1; 16], change: [2; 16] };

    fn number(disk: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(disk[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn only_what_is_not_zero_takes_room() {
        let mut raw = vec![0; 5 << 20];
        raw[(3 << 20) + 7] = 42;
        let mut disk = Cursor::new(Vec::new());
        let size = write(&mut Bytes(raw), 10_000_000, IDENTITY, &mut disk).unwrap();
        let disk = disk.into_inner();
        assert_eq!(size, 10 << 20);
        assert_eq!(disk.len(), 3 << 20, "head, map and one block");
        assert_eq!(number(&disk, 384), 10);
        assert_eq!(number(&disk, 388), 1);
        let map: Vec<u32> = (0..10).map(|n| number(&disk, (1 << 20) + n * 4)).collect();
        assert_eq!(map, [FREE, FREE, FREE, 0, FREE, FREE, FREE, FREE, FREE, FREE]);
        assert_eq!(disk[(2 << 20) + 7], 42);
    }

    #[test]
    fn a_disk_is_never_smaller_than_what_it_holds() {
        let mut disk = Cursor::new(Vec::new());
        assert_eq!(write(&mut Bytes(vec![1; 3]), 0, IDENTITY, &mut disk).unwrap(), 1 << 20);
        assert!(write(&mut Bytes(Vec::new()), u64::MAX / 2, IDENTITY, &mut disk).is_err());
    }
}
