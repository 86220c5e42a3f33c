//! Downloads that are cut off, changed, or not what they should be.

use super::{
    Download, DownloadError, Http, Sum,
    server::{Act, Server, say},
};
use crate::digest::sha256_hex;
use std::{fs, path::Path};

const FILE: &str = "0123456789abcdefghij";

fn download(server: &Server, dir: &Path, sum: Option<&str>) -> Download {
    let sum = sum.map(|content| Sum::parse(&sha256_hex(content.as_bytes())).unwrap());
    Download { url: server.url("/images/it.qcow2"), to: dir.join("it.qcow2"), sum }
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn cut(head: &str, content: &str) -> Act {
    Act::Say(format!("HTTP/1.1 200 OK\r\n{head}content-length: {}\r\n\r\n{content}", FILE.len()).into_bytes())
}

fn rest(from: usize) -> Act {
    let range = format!("content-range: bytes {from}-{}/{}\r\n", FILE.len() - 1, FILE.len());
    say("206 Partial", &format!("etag: \"one\"\r\n{range}"), &FILE[from..])
}

#[tokio::test]
async fn a_download_is_there_whole_or_not_at_all() {
    let server = Server::acts(vec![say("200 OK", "", FILE)]).await;
    let dir = tempfile::tempdir().unwrap();
    let told = std::sync::Mutex::new(Vec::new());
    let progress = |text: &str| told.lock().unwrap().push(text.to_owned());
    Http::shared().download(&download(&server, dir.path(), Some(FILE)), &progress).await.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("it.qcow2")).unwrap(), FILE);
    assert_eq!(files(dir.path()), ["it.qcow2"]);
    assert_eq!(*told.lock().unwrap(), ["downloading it.qcow2: 1 of 1 MiB"]);
}

#[tokio::test]
async fn what_was_cut_off_is_taken_up_where_it_was() {
    let server = Server::acts(vec![cut("etag: \"one\"\r\n", &FILE[..7]), rest(7)]).await;
    let dir = tempfile::tempdir().unwrap();
    Http::shared().download(&download(&server, dir.path(), Some(FILE)), &|_| ()).await.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("it.qcow2")).unwrap(), FILE);
    let again = server.seen().remove(1);
    assert!(again.contains("range: bytes=7-\r\n") && again.contains("if-range: \"one\"\r\n"), "{again}");
    assert_eq!(files(dir.path()), ["it.qcow2"]);
}

#[tokio::test]
async fn an_earlier_runs_part_is_used_only_if_it_is_of_the_same_file() {
    for (note, want) in [("\n\"one\"", true), ("x\n\"one\"", false), ("", false)] {
        let server = Server::start(
            |_, request| {
                if request.contains("range: bytes=7-") { rest(7) } else { say("200 OK", "", FILE) }
            },
        )
        .await;
        let dir = tempfile::tempdir().unwrap();
        let what = download(&server, dir.path(), Some(FILE));
        let parts = [("it.qcow2.part", FILE[..7].to_owned()), ("it.qcow2.part.of", format!("{}{note}", what.url))];
        for (name, content) in parts {
            #[expect(clippy::disallowed_methods, reason = "what an earlier run has left")]
            fs::write(dir.path().join(name), content).unwrap();
        }
        Http::shared().download(&what, &|_| ()).await.unwrap();
        assert_eq!(server.seen()[0].contains("if-range: \"one\""), want, "{note}");
        assert_eq!(fs::read_to_string(&what.to).unwrap(), FILE);
        assert_eq!(files(dir.path()), ["it.qcow2"]);
    }
}

#[tokio::test]
async fn a_server_that_begins_anew_or_elsewhere_is_understood() {
    let changed = "klmnopqrst0123456789";
    for second in [say("200 OK", "etag: \"two\"\r\n", changed), say("416 No", "", ""), rest(9)] {
        let acts = vec![cut("etag: \"one\"\r\n", &FILE[..7]), second, say("200 OK", "etag: \"two\"\r\n", changed)];
        let server = Server::acts(acts).await;
        let dir = tempfile::tempdir().unwrap();
        Http::shared().download(&download(&server, dir.path(), Some(changed)), &|_| ()).await.unwrap();
        assert_eq!(fs::read_to_string(dir.path().join("it.qcow2")).unwrap(), changed);
    }
}

#[tokio::test]
async fn two_files_put_together_are_not_kept() {
    // The server lies: the rest is of another file.
    let other = say("206 Partial", "content-range: bytes 7-19/20\r\n", "XXXXXXXXXXXXX");
    let server = Server::acts(vec![cut("etag: \"one\"\r\n", &FILE[..7]), other, say("200 OK", "", FILE)]).await;
    let dir = tempfile::tempdir().unwrap();
    Http::shared().download(&download(&server, dir.path(), Some(FILE)), &|_| ()).await.unwrap();
    assert_eq!(fs::read_to_string(dir.path().join("it.qcow2")).unwrap(), FILE);
}

#[tokio::test]
async fn what_is_not_what_was_meant_is_removed_and_named() {
    let server = Server::acts(vec![say("200 OK", "", "another file")]).await;
    let dir = tempfile::tempdir().unwrap();
    let e = Http::shared().download(&download(&server, dir.path(), Some(FILE)), &|_| ()).await.unwrap_err();
    let (found, wanted) = (sha256_hex(b"another file"), sha256_hex(FILE.as_bytes()));
    let text = format!(
        "what `{}` sent for /images/it.qcow2 is not what was asked for: its digest is {found}, not {wanted}",
        server.address
    );
    assert_eq!(e.to_string(), text);
    assert!(files(dir.path()).is_empty());
    assert_eq!(server.seen().len(), 1, "it is not fetched again for nothing");
}

#[tokio::test]
async fn what_is_not_there_is_said_at_once() {
    let server = Server::acts(vec![say("404 Not Found", "", "")]).await;
    let dir = tempfile::tempdir().unwrap();
    let e = Http::shared().download(&download(&server, dir.path(), None), &|_| ()).await.unwrap_err();
    assert!(matches!(e, DownloadError::Refused { status: 404, .. }));
    assert_eq!(e.to_string(), format!("`{}` answers 404 for /images/it.qcow2", server.address));
    assert!(files(dir.path()).is_empty());
}

#[test]
fn a_sum_is_told_by_its_length_or_its_name() {
    let (short, long) = ("Ab".repeat(32), "cd".repeat(64));
    assert_eq!(Sum::parse(&short), Some(Sum::Sha256("ab".repeat(32))));
    assert_eq!(Sum::parse(&format!("sha512:{long}")), Some(Sum::Sha512(long.clone())));
    for wrong in [format!("sha512:{short}"), format!("md5:{short}"), "zz".repeat(32), "ab".to_owned()] {
        assert_eq!(Sum::parse(&wrong), None, "{wrong}");
    }
}

#[test]
fn sums_are_those_of_the_standard() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("abc");
    #[expect(clippy::disallowed_methods, reason = "a file to read")]
    fs::write(&path, "abc").unwrap();
    let like = Sum::Sha512(String::new());
    assert!(like.of_file(&path).unwrap().digits().starts_with("ddaf35a193617abacc417349ae204131"));
    assert_eq!(Sum::Sha256(String::new()).of_file(&path).unwrap().digits(), sha256_hex(b"abc"));
}
