use super::*;

#[test]
fn an_image_is_a_name_we_know_a_url_or_a_file() {
    let parse = |text| Image::parse(text, Arch::X86_64);
    let Ok(Image::Preset { url, sums, .. }) = parse("debian-12") else { panic!() };
    assert_eq!(url, "https://cloud.debian.org/images/cloud/bookworm/latest/debian-12-genericcloud-amd64.qcow2");
    assert_eq!(sums, "https://cloud.debian.org/images/cloud/bookworm/latest/SHA512SUMS");
    let Ok(Image::Preset { url, sums, .. }) = Image::parse("fedora-43", Arch::Aarch64) else { panic!() };
    assert!(url.ends_with("/43/Cloud/aarch64/images/Fedora-Cloud-Base-Generic-43-1.6.aarch64.qcow2"), "{url}");
    assert!(sums.ends_with("/Fedora-Cloud-43-1.6-aarch64-CHECKSUM"), "{sums}");
    assert_eq!(parse("https://x.example/a.img"), Ok(Image::Url("https://x.example/a.img".to_owned())));
    assert_eq!(parse("./a"), Ok(Image::File("./a".into())));
    assert_eq!(parse("a.qcow2"), Ok(Image::File("a.qcow2".into())));
    assert_eq!(parse("debian"), Err("`debian` is no image".to_owned()));
    for preset in PRESETS {
        assert!(parse(preset.name).is_ok() && legal().contains(preset.name));
        let Ok(Image::Preset { url, sums, .. }) = parse(preset.name) else { panic!() };
        assert!(!url.contains('{') && !sums.contains('{'), "{url} {sums}");
    }
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

fn place(dir: &Path) -> Place {
    Place { base: dir.to_owned(), images: dir.join("images") }
}

async fn of_file(dir: &Path, content: &[u8], checksum: Option<&str>) -> Result<PathBuf, DriverError> {
    let path = dir.join("own.raw");
    files::write(&path, 0o600, content).unwrap();
    ensure(&place(dir), &Image::File(path), checksum, Arch::X86_64, &|_| ()).await
}

#[tokio::test]
async fn a_file_is_taken_as_it_is_now() {
    let dir = tempfile::tempdir().unwrap();
    let first = of_file(dir.path(), b"first image", None).await.unwrap();
    let second = of_file(dir.path(), b"second image", None).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(fs::read(&first).unwrap(), b"first image", "machines stand on it");
    assert_eq!(format(&first).unwrap(), "raw");
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

/// An image from who knows where must not make a file of this computer readable in the machine.
#[tokio::test]
async fn an_image_that_refers_to_another_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (path, below) = (dir.path().join("overlay.qcow2"), dir.path().join("below.raw"));
    files::write(&below, 0o600, &[0; 4096]).unwrap();
    let make = Program::new("qemu-img", "making").args(["create", "-q", "-f", "qcow2", "-F", "raw", "-b"]);
    if let Err(e) = make.args([&below, &path]).run().await {
        assert!(std::env::var_os("MACHINE_LAB").is_none_or(|v| v != "required"), "MACHINE_LAB=required, but {e}");
        println!("SKIPPED: {e}");
        return;
    }
    let error = ensure(&place(dir.path()), &Image::File(path), None, Arch::X86_64, &|_| ()).await.unwrap_err();
    assert!(error.to_string().ends_with("it is only a part of an image, and refers to another file"), "{error}");
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
    let get = async |checksum: &str| {
        ensure(&place(dir.path()), &Image::Url(url.clone()), Some(checksum), Arch::X86_64, &|_| ()).await
    };
    let error = get(&sha256_hex(b"another")).await.unwrap_err();
    assert!(error.to_string().contains("is not what was asked for"), "{error}");
    let first = get(&sha256_hex(b"an image")).await.unwrap();
    assert_eq!(fs::read(&first).unwrap(), b"an image");
    let gone = Image::Url("http://127.0.0.1:9/x.img".to_owned());
    let again = ensure(&place(dir.path()), &gone, Some(&sha256_hex(b"an image")), Arch::X86_64, &|_| ()).await;
    assert_eq!(again.unwrap(), first, "what is there needs no network");
}

#[tokio::test]
async fn the_newest_known_image_serves_when_its_publisher_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let place = place(dir.path());
    let preset = |url: &str| Image::Preset {
        name: "debian-12",
        url: url.to_owned(),
        file: "x.img".to_owned(),
        sums: "http://127.0.0.1:9/SHA512SUMS".to_owned(),
    };
    let get = async |sum: Option<&str>, url: &str, said: &std::sync::Mutex<Vec<String>>| {
        let tell = |line: &str| said.lock().unwrap().push(line.to_owned());
        ensure(&place, &preset(url), sum, Arch::X86_64, &tell).await
    };
    let said = std::sync::Mutex::new(Vec::new());
    let url = served(b"an image").await;
    let first = get(Some(&sha256_hex(b"an image")), &url, &said).await.unwrap();
    assert_eq!(newest(&place, "debian-12-x86_64"), Some(first));
    assert_eq!(newest(&place, "debian-1"), None);
    assert_eq!(newest(&place, "fedora-43-x86_64"), None);
}
