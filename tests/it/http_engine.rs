//! An engine that answers `_ping` and `version` over plain HTTP, and one that never answers.

use std::{
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    thread,
};

/// A server that listens, for as long as the test runs.
pub(crate) struct Engine {
    port: String,
}

impl Engine {
    pub(crate) fn url(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    pub(crate) fn port(&self) -> &str {
        &self.port
    }
}

/// An engine of this version.
pub(crate) fn start(version: &'static str) -> Engine {
    listen(move |stream| answer(stream, version))
}

/// Accepts connections and says nothing.
pub(crate) fn black_hole() -> Engine {
    listen(|stream| drop(BufReader::new(stream).lines().last()))
}

fn listen(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> Engine {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
    Engine { port }
}

fn answer(stream: TcpStream, version: &str) {
    let mut writer = stream.try_clone().unwrap();
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    while let Some(request) = lines.next() {
        lines.by_ref().take_while(|line| !line.is_empty()).for_each(drop);
        let path = request.split(' ').nth(1).unwrap_or_default();
        let (kind, body) = match path.rsplit('/').next() {
            Some("_ping") => ("text/plain", "OK".to_owned()),
            Some("version") => {
                let body = serde_json::json!({"Version": version, "ApiVersion": "1.50", "MinAPIVersion": "1.24"});
                ("application/json", body.to_string())
            }
            _ => panic!("an unknown request for {request}"),
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nApi-Version: 1.50\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // A client that has gone needs no answer.
        if writer.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
