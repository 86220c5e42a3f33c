//! The client against a server that behaves badly in every way there is.

use super::{
    Http, HttpError, Limiter, Method, Reply, Request, Retry, Service, Verdict, retry,
    server::{Act, Server, say},
};
use crate::secret::Revealed;
use std::{net::TcpListener, time::Duration};

fn service() -> Service {
    let ms = Duration::from_millis;
    let retry = Retry { first: ms(5), most: ms(20), within: Duration::from_secs(2) };
    Service::new(Limiter::new(Duration::ZERO, 1, 8)).retry(retry)
}

fn ok() -> Act {
    say("200 OK", "", "{\"a\": 1}")
}

#[tokio::test]
async fn what_is_asked_is_sent_and_what_is_answered_is_read() {
    let server = Server::acts(vec![say("201 Created", "x-it: that\r\n", "{\"a\": 1}")]).await;
    let token = Revealed::new("hunter2".to_owned());
    let request = Request::new(Method::POST, server.url("/v2/x?q=1")).bearer(&token).json(&serde_json::json!({"b": 2}));
    let reply = service().send(&request).await.unwrap();
    assert_eq!((reply.status(), reply.header("x-it"), reply.is_success()), (201, Some("that"), true));
    assert_eq!(reply.json::<serde_json::Value>().unwrap()["a"], 1);
    let seen = server.seen().remove(0);
    assert!(seen.starts_with("POST /v2/x?q=1 HTTP/1.1\r\n") && seen.ends_with("{\"b\":2}"), "{seen}");
    assert!(seen.contains("authorization: Bearer hunter2\r\n") && seen.contains("user-agent: machine/"), "{seen}");
    assert!(!format!("{request:?} {:?} {:?}", request.headers(), service()).contains("hunter2"));
}

#[tokio::test]
async fn a_lost_answer_is_sent_again_only_where_twice_is_as_good_as_once() {
    for lost in
        [Act::Drop, Act::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{".to_vec()), say("502 Bad", "", "")]
    {
        let server = Server::acts(vec![lost.clone(), ok()]).await;
        assert_eq!(service().send(&Request::get(server.url("/a"))).await.unwrap().status(), 200, "{lost:?}");
        assert_eq!(server.seen().len(), 2);

        let server = Server::acts(vec![lost.clone(), ok()]).await;
        let e = service().send(&Request::new(Method::POST, server.url("/a?secret=hunter2"))).await.unwrap_err();
        assert!(!e.without_effect() && !format!("{e} {e:?}").contains("hunter2"), "{e:?}");
        assert_eq!(server.seen().len(), 1, "{lost:?}: it may have had its effect");

        let server = Server::acts(vec![lost, ok()]).await;
        service().send(&Request::new(Method::POST, server.url("/a")).repeatable()).await.unwrap();
    }
}

#[tokio::test]
async fn what_was_never_sent_is_sent_again_whatever_it_is() {
    // An address of this test's own: elsewhere another test may take the port.
    let free = TcpListener::bind("127.213.7.9:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let url = move || format!("http://{address}/v2/droplets?token=hunter2").parse().unwrap();
    let request = Request::new(Method::POST, url());
    let e = service().send(&request).await.unwrap_err();
    assert!(e.without_effect(), "{e:?}");
    assert_eq!(e.to_string(), format!("`{address}` cannot be reached: Connection refused (os error 111)"));

    // A server begins to listen while we try.
    let asked = tokio::spawn(async move { service().send(&Request::new(Method::POST, url())).await });
    tokio::time::sleep(Duration::from_millis(50)).await;
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let answer = b"HTTP/1.1 204 No Content\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, answer).await.unwrap();
    assert_eq!(asked.await.unwrap().unwrap().status(), 204);
}

#[tokio::test]
async fn who_is_asked_too_often_is_left_alone_for_as_long_as_it_wants() {
    let server = Server::acts(vec![say("429 Slow down", "retry-after: 1\r\n", ""), ok()]).await;
    let begun = std::time::Instant::now();
    service().send(&Request::new(Method::POST, server.url("/"))).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));

    let server =
        Server::acts(vec![say("429 Slow down", "retry-after: 900\r\n", "{\"id\": \"too_many_requests\"}")]).await;
    let e = service().send(&Request::new(Method::POST, server.url("/"))).await.unwrap_err();
    assert!(e.without_effect());
    let want = format!("`{}` is asked too often (429); it asks to be left alone for 15m", server.address);
    assert_eq!(e.to_string(), want, "longer than we are patient");
    let HttpError::Busy { reply, .. } = e else { panic!() };
    assert!(reply.text().contains("too_many"));
}

#[tokio::test]
async fn a_provider_has_words_of_its_own_for_being_asked_too_often() {
    fn judge(reply: &Reply) -> Verdict {
        if reply.text().contains("RequestLimitExceeded") { Verdict::Throttled } else { retry::usual(reply) }
    }
    let acts = vec![say("503 Busy", "", "<Code>RequestLimitExceeded</Code>"), say("503 Busy", "", "else"), ok()];
    let server = Server::acts(acts).await;
    let e = service().judge(judge).send(&Request::new(Method::POST, server.url("/"))).await.unwrap_err();
    assert!(!e.without_effect() && server.seen().len() == 2, "{e:?}");
    assert_eq!(e.to_string(), format!("`{}` is busy or broken (503)", server.address));
}

#[tokio::test]
async fn a_server_that_never_ends_is_left() {
    let drip = Act::Drip(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".repeat(9), Duration::from_millis(20));
    for act in [Act::Hang, drip] {
        let server = Server::acts(vec![act]).await;
        let request = Request::get(server.url("/slow")).timeout(Duration::from_millis(300));
        let e = Http::shared().once(&request).await.unwrap_err();
        let want = format!("the answer of `{}` to GET /slow was lost: no whole answer within 300ms", server.address);
        assert_eq!(e.to_string(), want);
    }
}

#[tokio::test]
async fn a_signed_request_is_made_anew_each_time() {
    let server = Server::acts(vec![Act::Drop, ok()]).await;
    let count = std::cell::Cell::new(0);
    let make = || {
        count.set(count.get() + 1);
        Request::get(server.url("/")).header("x-date", &count.get().to_string())
    };
    service().send_with(make).await.unwrap();
    let dates: Vec<_> = server.seen().iter().map(|r| r.contains("x-date: 2")).collect();
    assert_eq!(dates, [false, true]);
}

#[tokio::test]
async fn what_is_secret_stays_with_the_server_it_is_for() {
    let other = Server::acts(vec![ok()]).await;
    let to = other.url("/there");
    let own = Server::start(move |n, _| match n {
        0 => say("302 Found", "location: /here\r\n", ""),
        _ => say("307 Elsewhere", &format!("location: {to}\r\n"), ""),
    })
    .await;
    let secret = Revealed::new("hunter2".to_owned());
    let request =
        || Request::get(own.url("/")).bearer(&secret).secret_header("x-auth-token", &secret).header("x-plain", "p");
    service().send(&request()).await.unwrap();
    assert_eq!(own.seen().iter().filter(|r| r.matches("hunter2").count() == 2).count(), 2, "the same server");
    let seen = other.seen().remove(0);
    assert!(!seen.contains("hunter2") && seen.contains("x-plain: p") && seen.starts_with("GET /there "), "{seen}");

    let post = Request { method: Method::POST, ..request() };
    assert_eq!(service().send(&post).await.unwrap().status(), 307, "what may have an effect is not redirected");
    assert_eq!(other.seen().len(), 1);
}

#[tokio::test]
async fn who_is_sent_in_circles_stops() {
    let server = Server::acts(vec![say("301 Moved", "location: /again\r\n", "")]).await;
    let e = Http::shared().once(&Request::get(server.url("/"))).await.unwrap_err();
    assert!(e.to_string().ends_with("it was sent elsewhere more than 10 times"), "{e}");
}

#[tokio::test]
async fn what_cannot_be_understood_is_not_quoted() {
    for (body, want) in [
        ("<html>hunter2", "it is not JSON (text/html, 13 B)"),
        ("{\"a\": \"hunter2\"}", "its JSON is not of the expected shape at line 1 column 15"),
    ] {
        let server = Server::acts(vec![say("200 OK", "content-type: text/html\r\n", body)]).await;
        let reply = service().send(&Request::get(server.url("/"))).await.unwrap();
        let e = reply.json::<std::collections::BTreeMap<String, u32>>().unwrap_err();
        let want = format!("the answer of `{}` (status 200) cannot be understood: {want}", server.address);
        assert_eq!(e.to_string(), want);
    }
}

#[tokio::test]
async fn a_secret_with_a_line_break_is_not_sent() {
    let server = Server::acts(vec![ok()]).await;
    let token = Revealed::new("hunter2\r\nx: y".to_owned());
    let e = service().send(&Request::get(server.url("/")).bearer(&token)).await.unwrap_err();
    assert_eq!(e.to_string(), "what is to be sent as `authorization` has a line break or a control code");
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn who_cannot_show_who_it_is_is_not_told_anything() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider().into();
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(acceptor.accept(stream).await.is_err(), "the client hangs up");
        assert!(tokio::time::timeout(Duration::from_millis(100), listener.accept()).await.is_err(), "asked once");
    });
    let request = Request::get(format!("https://{address}/").parse().unwrap());
    let e = service().send(&request).await.unwrap_err();
    assert!(matches!(e, HttpError::NotSent { distrusted: true, .. }), "{e:?}");
    assert!(e.help().contains("authority"));
    println!("{e}");
    served.await.unwrap();
}

#[tokio::test]
async fn the_proxy_of_the_environment_is_used_and_its_exceptions_are_kept() {
    // Variables are of a whole process: the test starts itself again, with those of a proxy.
    if let Ok(own) = std::env::var("HTTP_TEST_OWN") {
        let get = |url: &str| Request::get(url.parse().unwrap());
        assert_eq!(service().send(&get("http://api.example.invalid/v2/x")).await.unwrap().status(), 200);
        assert_eq!(service().send(&get(&own)).await.unwrap().status(), 200);
        return;
    }
    let (proxy, own) = (Server::acts(vec![ok()]).await, Server::acts(vec![ok()]).await);
    #[expect(clippy::disallowed_methods, reason = "this very test is run")]
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "http::tests::the_proxy_of_the_environment_is_used_and_its_exceptions_are_kept"])
        .env("HTTP_PROXY", proxy.url("/").as_str())
        .env("http_proxy", proxy.url("/").as_str())
        .env("NO_PROXY", "127.0.0.1")
        .env("no_proxy", "127.0.0.1")
        .env("HTTP_TEST_OWN", own.url("/").as_str());
    let output = child.output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let seen = proxy.seen();
    assert!(seen.len() == 1 && seen[0].starts_with("GET http://api.example.invalid/v2/x "), "{seen:?}");
    assert_eq!(own.seen().len(), 1);
}

/// C21: an error of TLS is said in words, however deep it lies.
#[test]
fn an_error_of_tls_is_said_in_words() {
    let deep = |error: rustls::Error| std::io::Error::other(std::io::Error::other(error));
    for (error, want) in [
        (
            rustls::Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
            "it speaks another TLS than this program: no cipher suites in common",
        ),
        (
            rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer),
            "its certificate cannot be used: it is signed by no trusted authority",
        ),
    ] {
        assert_eq!(super::error::innermost(&deep(error)), want);
    }
}
