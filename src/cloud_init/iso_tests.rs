use super::{DATA, END, FOLDER, JOLIET, JOLIET_FOLDER, PRIMARY, SECTOR, Seed};
use std::{
    fs::File,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

const LARGE: &[u8] = &[b'x'; 5000];

fn seed(user_data: &[u8]) -> Vec<u8> {
    Seed { user_data, meta_data: b"instance-id: i-1\n", network_config: Some(b"version: 2\n") }.image()
}

/// Reads a folder as ECMA-119 has it: name, sector, size.
fn entries(image: &[u8], sector: usize) -> Vec<(Vec<u8>, usize, usize)> {
    let mut rest = &image[sector * SECTOR..][..SECTOR];
    let mut found = Vec::new();
    while rest[0] != 0 {
        let (record, after) = rest.split_at(usize::from(rest[0]));
        let number = |at: usize| {
            let le = u32::from_le_bytes(record[at..at + 4].try_into().unwrap());
            assert_eq!(le, u32::from_be_bytes(record[at + 4..at + 8].try_into().unwrap()), "both orders agree");
            usize::try_from(le).unwrap()
        };
        found.push((record[33..33 + usize::from(record[32])].to_vec(), number(2), number(10)));
        rest = after;
    }
    found
}

#[test]
fn both_trees_lead_to_the_same_bytes() {
    let image = seed(LARGE);
    assert_eq!(image.len() % SECTOR, 0);
    for (at, kind) in [(PRIMARY, 1), (JOLIET, 2), (END, 255)] {
        assert_eq!(&image[at * SECTOR..][..7], &[&[kind][..], b"CD001", &[1]].concat()[..]);
    }
    assert_eq!(&image[PRIMARY * SECTOR + 40..][..8], b"cidata  ");
    assert_eq!(&image[JOLIET * SECTOR + 40..][..14], b"\0c\0i\0d\0a\0t\0a\0 ");
    let (plain, joliet) = (entries(&image, FOLDER), entries(&image, JOLIET_FOLDER));
    let names: Vec<&[u8]> = plain[2..].iter().map(|(name, ..)| name.as_slice()).collect();
    assert_eq!(names, [&b"META_DAT.;1"[..], b"NETWORK_.;1", b"USER_DAT.;1"]);
    assert_eq!(joliet[4].0, b"\0u\0s\0e\0r\0-\0d\0a\0t\0a");
    for (one, other) in plain[2..].iter().zip(&joliet[2..]) {
        assert_eq!((one.1, one.2), (other.1, other.2));
    }
    let (_, sector, size) = plain[4];
    assert_eq!(&image[sector * SECTOR..][..size], LARGE);
}

#[test]
fn the_same_files_make_the_same_image_and_what_is_absent_is_not_there() {
    assert_eq!(seed(b"#cloud-config\n"), seed(b"#cloud-config\n"));
    let image = Seed { user_data: b"", meta_data: b"m", network_config: None }.image();
    assert_eq!(entries(&image, FOLDER).len(), 4);
    assert_eq!(image.len(), (DATA + 1) * SECTOR, "an empty file takes no room");
}

/// Runs a program if it is there; what it printed.
fn program(name: &str, args: &[&str]) -> Option<String> {
    let dir = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].into_iter().find(|d| Path::new(d).join(name).exists());
    let Some(dir) = dir else {
        crate::skip::skipped(format_args!("`{name}` is not installed"));
        return None;
    };
    #[expect(clippy::disallowed_methods, reason = "other programs read what we wrote")]
    let output = Command::new(Path::new(dir).join(name)).args(args).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap())
}

/// What others read in it: the label, and each file under its real name by either way.
#[test]
fn other_programs_read_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("seed.iso");
    File::create(&path).unwrap().write_all(&seed(LARGE)).unwrap();
    let at = path.to_str().unwrap();
    if let Some(said) = program("blkid", &["-p", "-o", "export", at]) {
        assert!(said.contains("LABEL=cidata\n") && said.contains("TYPE=iso9660\n"), "{said}");
    }
    for way in ["-R", "-J"] {
        if let Some(said) = program("isoinfo", &[way, "-i", at, "-f"]) {
            assert_eq!(
                said.replace('/', "").lines().collect::<Vec<_>>(),
                ["meta-data", "network-config", "user-data"],
                "{way}"
            );
            let content = program("isoinfo", &[way, "-i", at, "-x", "/user-data"]).unwrap();
            assert_eq!(content.as_bytes(), LARGE, "{way}");
        }
    }
}
