//! The image of a `NoCloud` seed: a small ISO 9660 file system called `cidata`, in which cloud-init looks for its files.
//!
//! ISO 9660 itself has no lower case and eight letters to a name. So every file has its real name twice more: by Rock
//! Ridge, which Linux and the BSDs read, and in a second tree by Joliet, which Windows reads. Only what these files
//! need is here: one folder, and no dates, so that the same files make the same bytes.
//!
//! Terms and offsets are those of ECMA-119; Rock Ridge is IEEE P1282, and the area it uses IEEE P1281.

/// Bytes to a sector.
const SECTOR: usize = 2048;
/// What cloud-init looks for on all disks.
const LABEL: &str = "cidata";

/// Where things are, in sectors. The first sixteen are unused.
const PRIMARY: usize = 16;
const JOLIET: usize = 17;
const END: usize = 18;
/// Path tables: two orders of bytes for each tree.
const TABLES: usize = 19;
const FOLDER: usize = 23;
const JOLIET_FOLDER: usize = 24;
const DATA: usize = 25;

/// The files of a seed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seed<'a> {
    /// `user-data`: what the machine shall become.
    pub user_data: &'a [u8],
    /// `meta-data`: which machine it is.
    pub meta_data: &'a [u8],
    /// `network-config`; without it the machine asks by DHCP.
    pub network_config: Option<&'a [u8]>,
}

/// A file and where its content is.
struct File<'a> {
    name: &'static str,
    content: &'a [u8],
    sector: usize,
}

impl Seed<'_> {
    /// The bytes of the image.
    #[must_use]
    pub fn image(&self) -> Vec<u8> {
        // In the order of their names, which both trees must have.
        let present = [
            ("meta-data", Some(self.meta_data)),
            ("network-config", self.network_config),
            ("user-data", Some(self.user_data)),
        ];
        let mut next = DATA;
        let mut files = Vec::new();
        for (name, content) in present {
            let Some(content) = content else { continue };
            files.push(File { name, content, sector: next });
            next += content.len().div_ceil(SECTOR);
        }
        let mut image = vec![0; next * SECTOR];
        put(&mut image, PRIMARY, &descriptor(1, FOLDER, TABLES, next));
        put(&mut image, JOLIET, &descriptor(2, JOLIET_FOLDER, TABLES + 2, next));
        put(&mut image, END, &[&[255_u8][..], b"CD001", &[1]].concat());
        for (at, folder) in [(TABLES, FOLDER), (TABLES + 2, JOLIET_FOLDER)] {
            put(&mut image, at, &path_table(small(folder).to_le_bytes(), 1_u16.to_le_bytes()));
            put(&mut image, at + 1, &path_table(small(folder).to_be_bytes(), 1_u16.to_be_bytes()));
        }
        put(&mut image, FOLDER, &folder(FOLDER, &files, plain_name, rock_ridge));
        put(&mut image, JOLIET_FOLDER, &folder(JOLIET_FOLDER, &files, joliet_name, |_| Vec::new()));
        for file in &files {
            put(&mut image, file.sector, file.content);
        }
        image
    }
}

fn put(image: &mut [u8], sector: usize, bytes: &[u8]) {
    image[sector * SECTOR..][..bytes.len()].copy_from_slice(bytes);
}

/// Sizes are those of files in memory, and a seed of 4 GiB has no reader.
fn small(number: usize) -> u32 {
    u32::try_from(number).expect("a seed has less than 4 GiB")
}

/// A number in both orders of bytes, as most are written.
fn both(number: usize) -> [u8; 8] {
    let (le, be) = (small(number).to_le_bytes(), small(number).to_be_bytes());
    [le[0], le[1], le[2], le[3], be[0], be[1], be[2], be[3]]
}

/// A volume descriptor (ECMA-119, 8.4 and 8.5): kind 1 is the primary one, 2 that of Joliet.
fn descriptor(kind: u8, folder: usize, tables: usize, sectors: usize) -> Vec<u8> {
    let joliet = kind == 2;
    let mut d = vec![0; SECTOR];
    let mut set = |at: usize, bytes: &[u8]| d[at..at + bytes.len()].copy_from_slice(bytes);
    let text = |text: &str, size: usize| -> Vec<u8> {
        let units = text.bytes().chain(std::iter::repeat(b' '));
        // Joliet writes two bytes for a letter; a field of an odd size ends with a zero.
        let mut bytes: Vec<u8> =
            if joliet { units.flat_map(|b| [0, b]).take(size & !1).collect() } else { units.take(size).collect() };
        bytes.resize(size, 0);
        bytes
    };
    set(0, &[kind]);
    set(1, b"CD001");
    set(6, &[1]);
    set(8, &text("", 32));
    set(40, &text(LABEL, 32));
    set(80, &both(sectors));
    if joliet {
        // Names of up to 64 letters.
        set(88, b"%/E");
    }
    set(120, &[1, 0, 0, 1, 1, 0, 0, 1]);
    set(128, &[0, 8, 8, 0]);
    set(132, &both(10));
    set(140, &small(tables).to_le_bytes());
    set(148, &small(tables + 1).to_be_bytes());
    set(156, &record(&[0], folder, SECTOR, true, &[]));
    for (at, size) in [(190, 128), (318, 128), (446, 128), (574, 128), (702, 37), (739, 37), (776, 37)] {
        set(at, &text("", size));
    }
    for (at, date) in
        [(813, b"2000010100000000"), (830, b"2000010100000000"), (847, b"0000000000000000"), (864, b"0000000000000000")]
    {
        set(at, date);
    }
    set(881, &[1]);
    d
}

/// A path table with its one entry, the folder itself.
fn path_table(folder: [u8; 4], parent: [u8; 2]) -> Vec<u8> {
    [&[1, 0][..], &folder, &parent, &[0, 0]].concat()
}

/// A folder: itself, the one above it (itself), and its files.
fn folder(at: usize, files: &[File<'_>], name: fn(&str) -> Vec<u8>, more: fn(Entry) -> Vec<u8>) -> Vec<u8> {
    let mut bytes = record(&[0], at, SECTOR, true, &more(Entry::Here));
    bytes.extend(record(&[1], at, SECTOR, true, &more(Entry::Above)));
    for file in files {
        bytes.extend(record(&name(file.name), file.sector, file.content.len(), false, &more(Entry::File(file.name))));
    }
    bytes
}

/// One entry of a folder (ECMA-119, 9.1), with what Rock Ridge adds to it.
fn record(name: &[u8], sector: usize, size: usize, is_folder: bool, more: &[u8]) -> Vec<u8> {
    let mut r = vec![0, 0];
    r.extend(both(sector));
    r.extend(both(size));
    // The year 2000, for a date there must be.
    r.extend([100, 1, 1, 0, 0, 0, 0]);
    r.extend([u8::from(is_folder) << 1, 0, 0, 1, 0, 0, 1]);
    r.push(u8::try_from(name.len()).expect("names are ours, and short"));
    r.extend(name);
    if r.len() % 2 == 1 {
        r.push(0);
    }
    r.extend(more);
    if r.len() % 2 == 1 {
        r.push(0);
    }
    r[0] = u8::try_from(r.len()).expect("names are ours, and short");
    r
}

/// The name ISO 9660 itself allows: eight capitals, and a version.
fn plain_name(name: &str) -> Vec<u8> {
    let letter = |b: u8| if b.is_ascii_alphanumeric() { b.to_ascii_uppercase() } else { b'_' };
    name.bytes().map(letter).take(8).chain(*b".;1").collect()
}

fn joliet_name(name: &str) -> Vec<u8> {
    name.bytes().flat_map(|b| [0, b]).collect()
}

/// What an entry of a folder stands for.
#[derive(Clone, Copy)]
enum Entry {
    Here,
    Above,
    File(&'static str),
}

/// What Rock Ridge says of an entry: mode, links and owner (PX), the real name (NM).
fn rock_ridge(entry: Entry) -> Vec<u8> {
    let (mode, links): (usize, usize) = if matches!(entry, Entry::File(_)) { (0o100_444, 1) } else { (0o040_555, 2) };
    let mut px = b"PX\x24\x01".to_vec();
    for number in [mode, links, 0, 0] {
        px.extend(both(number));
    }
    match entry {
        // That this area is in use (SP), and by whom (ER): only in the first entry of the first folder.
        Entry::Here => [&b"SP\x07\x01\xbe\xef\x00"[..], &px, b"ER\x12\x01\x0a\x00\x00\x01RRIP_1991A"].concat(),
        Entry::Above => px,
        Entry::File(name) => {
            let length = u8::try_from(5 + name.len()).expect("names are ours, and short");
            [&px, &b"NM"[..], &[length, 1, 0], name.as_bytes()].concat()
        }
    }
}

#[cfg(test)]
#[path = "iso_tests.rs"]
mod tests;
