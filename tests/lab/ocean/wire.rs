//! HTTP as far as tests need it: one request for each connection.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

/// A request, with its head as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        header(&self.head, name)
    }
}

/// A header of a head, whatever its case.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let line = head.lines().find(|l| l.split_once(':').is_some_and(|(own, _)| own.eq_ignore_ascii_case(name)))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// What is done with one connection, given what came over it.
pub(crate) trait Serve: Send + Sync + 'static {
    fn serve(&self, request: Request, stream: &mut TcpStream);
}

/// Listens on a port of this computer for as long as the process lives.
pub(crate) fn listen(serve: Arc<impl Serve>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || {
                let mut stream = stream;
                if let Some(request) = read(&mut stream) {
                    serve.serve(request, &mut stream);
                }
                let _ = stream.shutdown(Shutdown::Both);
            });
        }
    });
    address
}

/// Head and body of a message; `None` when the other side hangs up before its end.
pub(crate) fn message(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let (mut bytes, mut buffer) = (Vec::new(), [0_u8; 16 << 10]);
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            break at;
        }
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut body = bytes.split_off(end + 4);
    let length = header(&head, "content-length").and_then(|n| n.parse().ok());
    let chunked = header(&head, "transfer-encoding").is_some_and(|how| how.contains("chunked"));
    while length.map_or(chunked && !body.ends_with(b"0\r\n\r\n"), |length: usize| body.len() < length) {
        match stream.read(&mut buffer).ok()? {
            0 => return None,
            n => body.extend_from_slice(&buffer[..n]),
        }
    }
    Some((head, body))
}

fn read(stream: &mut TcpStream) -> Option<Request> {
    let (head, body) = message(stream)?;
    let mut words = head.lines().next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    Some(Request { method, path, query, head, body })
}

/// Sends an answer; without a body, one of no length.
pub(crate) fn answer(stream: &mut TcpStream, status: u16, headers: &str, body: &str) {
    let kind = if body.is_empty() { "" } else { "content-type: application/json\r\n" };
    // An answer without content has no length either.
    let length = if status == 204 { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let text = format!("HTTP/1.1 {status} Said\r\n{kind}{length}{headers}connection: close\r\n\r\n{body}");
    let _ = stream.write_all(text.as_bytes());
}
