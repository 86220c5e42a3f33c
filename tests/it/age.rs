//! Encrypted files, against the program `age`: each reads what the other wrote.
//!
//! Without `age` the tests say `SKIPPED`, unless `MACHINE_LAB=required`.

#![expect(clippy::disallowed_methods, reason = "the tests run the program `age`, and fixtures need no durability")]

use crate::skip::skipped;
use machine::age::{self, AgeError, Identity, Key, Lock, Opens};
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

const PASSPHRASE: &str = "correct horse battery staple";

/// A folder with a key pair as `age-keygen` makes it.
struct Keys {
    dir: TempDir,
    file: PathBuf,
    recipient: String,
}

impl Keys {
    fn new() -> Option<Self> {
        if !["age", "age-keygen", "script"].iter().all(|program| Path::new("/usr/bin").join(program).exists()) {
            skipped("`age` is not installed");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key.txt");
        assert!(Command::new("age-keygen").arg("-o").arg(&file).stderr(Stdio::null()).status().unwrap().success());
        let out = Command::new("age-keygen").arg("-y").arg(&file).output().unwrap().stdout;
        Some(Self { dir, file, recipient: String::from_utf8(out).unwrap().trim().to_owned() })
    }

    fn identity(&self) -> Identity {
        Identity::all(&fs::read_to_string(&self.file).unwrap()).unwrap().remove(0)
    }

    /// A program, fed and read; `None` when it failed.
    fn run(&self, program: &str, args: &[&str], input: &[u8]) -> Option<Vec<u8>> {
        let mut child = Command::new(program)
            .args(args)
            .current_dir(self.dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let feeding = std::thread::spawn(move || {
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        feeding.join().unwrap();
        output.status.success().then_some(output.stdout)
    }
}

/// Around the borders of a chunk (64 KiB) of the format.
fn plains() -> Vec<Vec<u8>> {
    [0, 1, 65_535, 65_536, 65_537, 200_000]
        .map(|length| (0..length).map(|i| u8::try_from(i % 253).unwrap()).collect())
        .into()
}

#[test]
fn age_reads_what_we_encrypt_for_its_keys() {
    let Some(keys) = Keys::new() else { return };
    assert_eq!(
        format!("{:?}", keys.identity().recipient()),
        format!("{:?}", keys.recipient.parse::<age::Recipient>().unwrap())
    );
    for plain in plains() {
        let file = age::encrypt(&Lock::Recipients(vec![keys.recipient.parse().unwrap()]), &plain).unwrap();
        assert_eq!(keys.run("age", &["-d", "-i", "key.txt"], file.as_bytes()), Some(plain));
    }
}

#[test]
fn we_read_what_age_encrypts_for_our_keys() {
    let Some(keys) = Keys::new() else { return };
    let other = Keys::new().unwrap();
    for plain in plains() {
        for form in [&[][..], &["-a"]] {
            let args = [form, &["-r", &other.recipient, "-r", &keys.recipient]].concat();
            let file = keys.run("age", &args, &plain).unwrap();
            assert_eq!(age::opens(&file), Ok(Opens::Identity));
            assert_eq!(**age::decrypt(&Key::Identities(vec![keys.identity()]), &file).unwrap(), *plain);
        }
    }
}

/// `age` takes a passphrase from a terminal only, which `script` is for it.
#[test]
fn each_reads_the_others_files_with_a_passphrase() {
    let Some(keys) = Keys::new() else { return };
    let passphrase = || PASSPHRASE.to_owned().into();
    let file = age::encrypt(&Lock::Passphrase(passphrase()), b"a secret").unwrap();
    assert_eq!(age::opens(file.as_bytes()), Ok(Opens::Passphrase));
    fs::write(keys.dir.path().join("ours.age"), &file).unwrap();
    let typed = format!("{PASSPHRASE}\n");
    keys.run("script", &["-qec", "age -d -o ours.txt ours.age", "/dev/null"], typed.as_bytes());
    assert_eq!(fs::read_to_string(keys.dir.path().join("ours.txt")).unwrap(), "a secret");

    fs::write(keys.dir.path().join("plain.txt"), "another").unwrap();
    keys.run("script", &["-qec", "age -p -o theirs.age plain.txt", "/dev/null"], typed.repeat(2).as_bytes());
    let theirs = fs::read(keys.dir.path().join("theirs.age")).unwrap();
    assert_eq!(**age::decrypt(&Key::Passphrase(passphrase()), &theirs).unwrap(), *b"another");
    let wrong = Key::Passphrase("wrong".to_owned().into());
    assert_eq!(age::decrypt(&wrong, &theirs), Err(AgeError::Passphrase));
}
