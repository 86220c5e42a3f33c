use super::*;

#[test]
fn an_image_is_a_name_we_know_a_url_or_a_file() {
    let parse = |text| Image::parse(text, Hardware::Cloud, Arch::X86_64);
    let Ok(Image::Preset { url, sums, label, .. }) = parse("debian-12") else { panic!() };
    assert_eq!(label, "debian-12-x86_64");
    assert_eq!(url, "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2");
    assert_eq!(sums, "https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS");
    let fedora = Image::parse("fedora-43", Hardware::Cloud, Arch::Aarch64);
    let Ok(Image::Preset { url, sums, .. }) = fedora else { panic!() };
    assert!(url.ends_with("/43/Cloud/aarch64/images/Fedora-Cloud-Base-Generic-43-1.6.aarch64.qcow2"), "{url}");
    assert!(sums.ends_with("/Fedora-Cloud-43-1.6-aarch64-CHECKSUM"), "{sums}");
    assert_eq!(parse("https://x.example/a.img"), Ok(Image::Url("https://x.example/a.img".to_owned())));
    assert_eq!(parse("./a"), Ok(Image::File("./a".into())));
    assert_eq!(parse("a.qcow2"), Ok(Image::File("a.qcow2".into())));
    assert_eq!(parse("debian"), Err("`debian` is no image".to_owned()));
    for hardware in [Hardware::Cloud, Hardware::Real] {
        for preset in Preset::all(hardware) {
            assert!(Image::legal(hardware).contains(preset.name));
            let parsed = Image::parse(preset.name, hardware, Arch::Aarch64);
            let Ok(Image::Preset { url, sums, .. }) = parsed else { panic!("{}", preset.name) };
            assert!(!url.contains('{') && !sums.contains('{'), "{url} {sums}");
        }
    }
}

#[test]
fn one_list_serves_both_kinds_of_machines_each_with_its_own_file() {
    let real = |text| Image::parse(text, Hardware::Real, Arch::X86_64);
    let Ok(Image::Preset { label, url, .. }) = real("debian-13") else { panic!() };
    // The kernel of the one for clouds has no drivers for hardware that exists.
    assert!(url.ends_with("/trixie/latest/debian-13-generic-amd64.qcow2"), "{url}");
    assert_eq!(label, "debian-13", "as it is called in caches that are there already");
    assert_eq!(real("fedora-43"), Err("`fedora-43` is no image".to_owned()));
    let names = |hardware| Preset::all(hardware).map(|preset| preset.name).collect::<Vec<_>>();
    assert_eq!(names(Hardware::Real), ["debian-13", "debian-12", "ubuntu-24.04", "ubuntu-22.04"]);
    assert_eq!(names(Hardware::Cloud).len(), 5);
}

#[test]
fn what_is_wrong_with_an_image_or_its_checksum_is_said_at_once() {
    let keys = |image, sum| {
        let problems = Image::check(image, sum, Hardware::Cloud, Arch::X86_64);
        problems.into_iter().filter_map(|p| p.key).collect::<Vec<_>>()
    };
    let good = "ab".repeat(32);
    assert_eq!(keys("debian-13", None), Vec::<String>::new());
    assert_eq!(keys("https://x.example/a.img", Some(&good)), Vec::<String>::new());
    assert_eq!(keys("https://x.example/a.img", None), ["image-checksum"]);
    assert_eq!(keys("debian", Some("abc")), ["image", "image-checksum"]);
}

#[test]
fn a_checksum_is_found_in_lists_of_both_forms() {
    let (a, b) = ("ab".repeat(32), "CD".repeat(64));
    let coreutils = format!("{a}  x.img\n{a} *y.img\nshort  z.img\n");
    assert_eq!(listed(&coreutils, "x.img"), Some(Sum::Sha256(a.clone())));
    assert_eq!(listed(&coreutils, "y.img"), Some(Sum::Sha256(a.clone())));
    assert_eq!(listed(&coreutils, "z.img"), None);
    assert_eq!(listed(&coreutils, "img"), None);
    let bsd = format!("# Fedora\nSHA512 (x y.qcow2) = {b}\n-----BEGIN PGP SIGNATURE-----\n");
    assert_eq!(listed(&bsd, "x y.qcow2"), Some(Sum::Sha512(b.to_lowercase())));
    assert_eq!(Sum::parse(&format!("sha256:{a}")), Some(Sum::Sha256(a)));
    assert_eq!(Sum::parse("abc"), None);
}

async fn ensure(dir: &Path, image: &Image, checksum: Option<&str>) -> Result<PathBuf, DriverError> {
    Cache::at(&dir.join("images"), &|_| ())?.ensure(image, checksum).await
}

async fn of_file(dir: &Path, content: &[u8], checksum: Option<&str>) -> Result<PathBuf, DriverError> {
    let path = dir.join("own.raw");
    files::write(&path, 0o600, content).unwrap();
    ensure(dir, &Image::File(path), checksum).await
}

#[tokio::test]
async fn a_file_is_taken_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let first = of_file(dir.path(), b"first image", None).await.unwrap();
    let second = of_file(dir.path(), b"second image", None).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(fs::read(&first).unwrap(), b"first image", "machines stand on it");
}

#[tokio::test]
async fn what_is_not_what_it_must_be_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let good = sha256_hex(b"an image");
    let error = of_file(dir.path(), b"another", Some(&good)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("its checksum is {}, and should be {good}", sha256_hex(b"another"))));
    assert!(error.help().unwrap().contains("do not use it"));
    let left: Vec<_> = fs::read_dir(dir.path().join("images")).unwrap().flatten().map(|e| e.file_name()).collect();
    assert!(left.iter().all(|name| Path::new(name).extension().is_some_and(|end| end == "lock")), "{left:?}");
    of_file(dir.path(), b"an image", Some(&good)).await.unwrap();
}

#[tokio::test]
async fn what_is_only_read_stays_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (path, folder) = (dir.path().join("own.raw"), dir.path().join("images"));
    files::write(&path, 0o600, b"an image").unwrap();
    let (image, cache) = (Image::File(path.clone()), Cache::at(&folder, &|_| ()).unwrap());
    assert_eq!(cache.source(&image, None).await.unwrap(), path);
    assert_eq!(cache.source(&image, Some(&sha256_hex(b"an image"))).await.unwrap(), path);
    assert!(cache.source(&image, Some(&sha256_hex(b"another"))).await.is_err());
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
}

/// The head of a qcow2 image: its version, where the name of what is below it stands, and what it needs.
fn qcow2(version: u8, below: u8, features: u8) -> Vec<u8> {
    let mut head = vec![0; 104];
    head[..4].copy_from_slice(b"QFI\xfb");
    (head[7], head[15], head[79]) = (version, below, features);
    head
}

/// An image of unknown origin must not make a file of this computer readable in the machine.
#[tokio::test]
async fn an_image_that_refers_to_another_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for (head, good) in [
        (qcow2(3, 0, 0), true),
        (qcow2(3, 0, 8), true),
        (qcow2(2, 104, 0), false),
        (qcow2(3, 104, 0), false),
        (qcow2(3, 0, 4), false),
        // In the second version these bytes are not in the head.
        (qcow2(2, 0, 4), true),
        (b"QFI\xfb".to_vec(), true),
    ] {
        let kept = of_file(dir.path(), &head, None).await;
        assert_eq!(kept.is_ok(), good, "{head:?}");
        let why = "it is only a part of an image, and refers to another file";
        assert!(kept.err().is_none_or(|e| e.to_string().ends_with(why)));
    }
}

/// The same, of images that qemu itself has made.
#[tokio::test]
async fn what_qemu_makes_of_two_files_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    let (overlay, below, apart, data, alone) = (at("o.qcow2"), at("b.raw"), at("a.qcow2"), at("d.raw"), at("w.qcow2"));
    files::write(Path::new(&below), 0o600, &[0; 4096]).unwrap();
    let data = format!("data_file={data}");
    for (args, good) in [
        (vec!["-F", "raw", "-b", &below, &overlay], false),
        (vec!["-o", &data, &apart, "1M"], false),
        (vec![&alone, "1M"], true),
    ] {
        #[expect(clippy::disallowed_methods, reason = "an image that qemu makes")]
        let made = std::process::Command::new("qemu-img").args(["create", "-q", "-f", "qcow2"]).args(&args).status();
        if !made.is_ok_and(|status| status.success()) {
            crate::skip::skipped("no qemu-img");
            return;
        }
        let file = [&alone, &apart, &overlay].into_iter().find(|file| args.contains(&file.as_str())).unwrap();
        assert_eq!(ensure(dir.path(), &Image::File(file.into()), None).await.is_ok(), good, "{args:?}");
    }
}

/// Serves one file at every path, for as long as it is asked.
async fn served(content: &'static [u8]) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut asked = [0; 2048];
            let _ = stream.read(&mut asked).await;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", content.len());
            let _ = stream.write_all(&[head.as_bytes(), content].concat()).await;
        }
    });
    format!("http://{address}/x.img")
}

#[tokio::test]
async fn an_image_from_a_url_is_fetched_once_and_only_when_it_is_the_one_that_is_meant() {
    let dir = tempfile::tempdir().unwrap();
    let url = served(b"an image").await;
    let get = async |checksum: &str| ensure(dir.path(), &Image::Url(url.clone()), Some(checksum)).await;
    let error = get(&sha256_hex(b"another")).await.unwrap_err();
    assert!(error.to_string().contains("is not what was asked for"), "{error}");
    let first = get(&sha256_hex(b"an image")).await.unwrap();
    assert_eq!(fs::read(&first).unwrap(), b"an image");
    let gone = Image::Url("http://127.0.0.1:9/x.img".to_owned());
    let again = ensure(dir.path(), &gone, Some(&sha256_hex(b"an image"))).await;
    assert_eq!(again.unwrap(), first, "what is there needs no network");
}

#[tokio::test]
async fn the_newest_known_image_serves_when_its_publisher_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let said = std::sync::Mutex::new(Vec::new());
    let tell = |line: &str| said.lock().unwrap().push(line.to_owned());
    let cache = Cache::at(dir.path(), &tell).unwrap();
    let preset = Image::Preset {
        label: "debian-12-x86_64".to_owned(),
        url: served(b"an image").await,
        file: "x.img".to_owned(),
        // There is no terminal to ask at.
        sums: "nowhere".to_owned(),
    };
    assert!(cache.ensure(&preset, None).await.is_err(), "there is none yet");
    let first = cache.ensure(&preset, Some(&sha256_hex(b"an image"))).await.unwrap();
    assert_eq!(cache.ensure(&preset, None).await.unwrap(), first);
    let last = said.lock().unwrap().last().cloned().unwrap();
    assert!(last.starts_with(&format!("going on with {}", first.display())), "{last}");
    assert_eq!(cache.newest("debian-1"), None);
    assert_eq!(cache.newest("fedora-43-x86_64"), None);
}
