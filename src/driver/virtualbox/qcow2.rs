//! QEMU's form of a disk (qcow2, versions 2 and 3), in which distributions give out their cloud images: read only.

use super::raw::Raw;
use flate2::{Decompress, FlushDecompress};
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
};

/// An entry of the tables, without its flags.
const PLACE: u64 = 0x00ff_ffff_ffff_fe00;
const COMPRESSED: u64 = 1 << 62;
const ZERO: u64 = 1;
/// Features we may not pass over, but for "was not closed" and "compression has a kind".
const UNKNOWN_FEATURES: u64 = !(1 | 8);
/// The largest table of tables we take: 16 TiB of disk in clusters of 64 KiB.
const MOST_TABLES: u32 = 32_768;

/// A disk in QEMU's form.
pub(super) struct Qcow2<F = File> {
    file: F,
    size: u64,
    bits: u32,
    tables: Vec<u64>,
    table: Option<(u64, Vec<u64>)>,
}

fn wrong(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes are eight bytes"))
}

fn small(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes are four bytes"))
}

impl<F: Read + Seek> Qcow2<F> {
    /// Reads the head.
    ///
    /// # Errors
    /// When it is none, or has what we cannot follow: another disk below it, encryption, other compression.
    pub(super) fn open(mut file: F) -> io::Result<Self> {
        let mut head = Vec::new();
        file.by_ref().take(112).read_to_end(&mut head)?;
        head.resize(112, 0);
        let version = small(&head, 4);
        if &head[..4] != b"QFI\xfb" || !(2..=3).contains(&version) {
            return Err(wrong("it is no qcow2 image of version 2 or 3"));
        }
        let bits = small(&head, 20);
        if number(&head, 8) != 0 {
            return Err(wrong("it stands on another image: give one that holds everything"));
        }
        if small(&head, 32) != 0 {
            return Err(wrong("it is encrypted"));
        }
        if !(9..=21).contains(&bits) || small(&head, 36) > MOST_TABLES {
            return Err(wrong("its head makes no sense"));
        }
        if version == 3 {
            let features = number(&head, 72);
            if features & UNKNOWN_FEATURES != 0 {
                return Err(wrong(
                    "it has features that are not known here; `qemu-img convert -O qcow2` makes a plain one",
                ));
            }
            if features & 8 != 0 && small(&head, 100) > 104 && head[104] != 0 {
                return Err(wrong("it is compressed with zstd; `qemu-img convert -O qcow2` makes a plain one"));
            }
        }
        file.seek(SeekFrom::Start(number(&head, 40)))?;
        let tables = numbers(&mut file, small(&head, 36) as usize)?;
        Ok(Self { file, size: number(&head, 24), bits, tables, table: None })
    }

    /// The entry for a cluster; 0: there is nothing.
    fn entry(&mut self, cluster: u64) -> io::Result<u64> {
        let per_table = 1 << (self.bits - 3);
        let (which, at) = (cluster / per_table, cluster % per_table);
        let place = usize::try_from(which).ok().and_then(|n| self.tables.get(n)).map_or(0, |entry| entry & PLACE);
        if place == 0 {
            return Ok(0);
        }
        if self.table.as_ref().is_none_or(|(of, _)| *of != place) {
            self.file.seek(SeekFrom::Start(place))?;
            self.table = Some((place, numbers(&mut self.file, 1 << (self.bits - 3))?));
        }
        let (_, table) = self.table.as_ref().expect("it was read just now");
        Ok(usize::try_from(at).ok().and_then(|at| table.get(at)).copied().unwrap_or(0))
    }

    fn cluster(&mut self, entry: u64, into: &mut [u8]) -> io::Result<bool> {
        if entry & COMPRESSED == 0 {
            if entry & PLACE == 0 || entry & ZERO != 0 {
                return Ok(false);
            }
            self.file.seek(SeekFrom::Start(entry & PLACE))?;
            // The last cluster of a file may be cut short.
            let mut filled = 0;
            while filled < into.len() {
                match self.file.read(&mut into[filled..])? {
                    0 => break,
                    count => filled += count,
                }
            }
            return Ok(true);
        }
        let shift = 62 - (self.bits - 8);
        let place = entry & ((1 << shift) - 1);
        let sectors = ((entry & !(3 << 62)) >> shift) + 1;
        let mut packed = Vec::new();
        self.file.seek(SeekFrom::Start(place))?;
        self.file.by_ref().take(sectors * 512 - (place & 511)).read_to_end(&mut packed)?;
        // Without a head, and with what follows it in its last sector.
        let done = Decompress::new(false).decompress(&packed, into, FlushDecompress::Finish);
        done.map_err(|e| wrong(format!("a part of it cannot be unpacked: {e}")))?;
        Ok(true)
    }
}

fn numbers(file: &mut impl Read, count: usize) -> io::Result<Vec<u64>> {
    let mut bytes = vec![0; count * 8];
    file.read_exact(&mut bytes)?;
    Ok(bytes.chunks_exact(8).map(|chunk| number(chunk, 0)).collect())
}

impl<F: Read + Seek + Send> Raw for Qcow2<F> {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&mut self, at: u64, into: &mut [u8]) -> io::Result<bool> {
        let size = 1_u64 << self.bits;
        let mut cluster = vec![0; usize::try_from(size).expect("at most 2 MiB")];
        let (mut done, mut any) = (0, false);
        while done < into.len() {
            let place = at + done as u64;
            let skip = usize::try_from(place % size).expect("at most 2 MiB");
            let count = (cluster.len() - skip).min(into.len() - done);
            let entry = self.entry(place / size)?;
            cluster.fill(0);
            if self.cluster(entry, &mut cluster)? {
                into[done..done + count].copy_from_slice(&cluster[skip..skip + count]);
                any = true;
            }
            done += count;
        }
        Ok(any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compress, Compression, FlushCompress};
    use std::io::Cursor;

    /// An image of four clusters of 512 bytes: full, absent, packed, zero.
    fn image() -> Vec<u8> {
        let mut image = vec![0; 4096];
        image[..4].copy_from_slice(b"QFI\xfb");
        for (at, value) in [(4, 3_u32), (20, 9), (36, 1), (100, 104)] {
            image[at..at + 4].copy_from_slice(&value.to_be_bytes());
        }
        let mut packed = vec![0; 512];
        let mut pack = Compress::new(Compression::best(), false);
        pack.compress(&[7; 512], &mut packed, FlushCompress::Finish).unwrap();
        let shift = 62 - (9 - 8);
        let entries = [1024, 0, COMPRESSED | (1 << shift) | 0x80c, 0x600 | ZERO];
        for (at, value) in [(24, 2048_u64), (40, 512), (512, 0x200 | (1 << 63))] {
            image[at..at + 8].copy_from_slice(&value.to_be_bytes());
        }
        // The table of tables is at 512, its only table at 2560.
        image[512..520].copy_from_slice(&(0xa00_u64 | (1 << 63)).to_be_bytes());
        for (n, entry) in entries.into_iter().enumerate() {
            image[2560 + n * 8..2568 + n * 8].copy_from_slice(&entry.to_be_bytes());
        }
        image[1024..1536].fill(5);
        image[1536..2048].fill(9);
        image[2060..2060 + 400].copy_from_slice(&packed[..400]);
        image
    }

    #[test]
    fn clusters_are_full_absent_packed_or_zero() {
        let mut disk = Qcow2::open(Cursor::new(image())).unwrap();
        assert_eq!(disk.size(), 2048);
        let mut all = vec![0; 2048];
        assert!(disk.read(0, &mut all).unwrap());
        let firsts: Vec<u8> = all.chunks(512).map(|c| c[0]).collect();
        assert_eq!(firsts, [5, 0, 7, 0]);
        assert!(all.chunks(512).all(|c| c.iter().all(|b| *b == c[0])));
        let mut across = vec![0; 4];
        disk.read(1022, &mut across).unwrap();
        assert_eq!(across, [0, 0, 7, 7]);
        assert!(!disk.read(512, &mut across).unwrap(), "all zeros");
    }

    #[test]
    fn what_cannot_be_followed_is_refused() {
        let case = |at: usize, value: u8, words: &str| {
            let mut bytes = image();
            bytes[at] = value;
            let error = Qcow2::open(Cursor::new(bytes)).err().unwrap().to_string();
            assert!(error.contains(words), "{error}");
        };
        case(0, 0, "no qcow2");
        case(15, 1, "stands on another");
        case(35, 1, "encrypted");
        case(79, 4, "features");
        case(23, 63, "no sense");
    }
}
