//! What stands before the provider and loses things: requests on their way there, and answers on their way back.

use super::wire::{self, Request, Serve};
use std::{
    io::Write,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

/// What happens to a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It never arrives.
    Before,
    /// It arrives, and the answer is lost.
    After,
    /// It never arrives, and the answer is that the server is broken.
    Broken,
    /// It arrives, and the answer is that the server is broken.
    BrokenAfter,
    /// It never arrives; one is asked to come back in a second.
    Throttled,
    /// It arrives, and no answer ever comes.
    Silence,
}

/// Method, a part of path and body, and what happens to the next such request.
pub(crate) type Plan = (&'static str, &'static str, Fault);

/// A way to the provider of a test's own.
pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    way: Arc<Way>,
}

struct Way {
    to: SocketAddr,
    plans: Mutex<Vec<Plan>>,
    seen: Mutex<Vec<String>>,
}

impl Front {
    pub(crate) fn before(to: SocketAddr) -> Self {
        let way = Arc::new(Way { to, plans: Mutex::default(), seen: Mutex::default() });
        Self { address: wire::listen(Arc::clone(&way)), way }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the next such request go wrong.
    pub(crate) fn plan(&self, plan: Plan) {
        self.way.plans.lock().unwrap().push(plan);
    }

    /// Whether all that was to go wrong has.
    pub(crate) fn is_done(&self) -> bool {
        self.way.plans.lock().unwrap().is_empty()
    }

    /// What came, as `POST /v2/droplets`.
    pub(crate) fn seen(&self) -> Vec<String> {
        self.way.seen.lock().unwrap().clone()
    }
}

impl Way {
    fn fault(&self, request: &Request) -> Option<Fault> {
        let mut plans = self.plans.lock().unwrap();
        let text = format!("{} {}", request.path, String::from_utf8_lossy(&request.body));
        let at = plans.iter().position(|(method, part, _)| *method == request.method && text.contains(part))?;
        Some(plans.remove(at).2)
    }

    fn forward(&self, request: &Request) -> Option<(String, Vec<u8>)> {
        let mut there = TcpStream::connect(self.to).ok()?;
        let lines = request.head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("connection:"));
        let head = lines.map(|line| format!("{line}\r\n")).collect::<Vec<_>>().concat();
        there.write_all(format!("{head}connection: close\r\n\r\n").as_bytes()).ok()?;
        there.write_all(&request.body).ok()?;
        wire::message(&mut there)
    }
}

const BROKEN: &str = r#"{"id": "server_error", "message": "Unexpected server-side error"}"#;

impl Serve for Way {
    fn serve(&self, request: Request, stream: &mut TcpStream) {
        self.seen.lock().unwrap().push(format!("{} {}", request.method, request.path));
        let fault = self.fault(&request);
        match fault {
            Some(Fault::Before) => return,
            Some(Fault::Broken) => return wire::answer(stream, 500, "", BROKEN),
            Some(Fault::Throttled) => {
                let body = r#"{"id": "too_many_requests", "message": "API Rate limit exceeded."}"#;
                return wire::answer(stream, 429, "retry-after: 1\r\n", body);
            }
            Some(Fault::After | Fault::BrokenAfter | Fault::Silence) | None => {}
        }
        let answer = self.forward(&request);
        match (fault, answer) {
            (Some(Fault::BrokenAfter), _) => wire::answer(stream, 500, "", BROKEN),
            (Some(Fault::Silence), _) => thread::sleep(Duration::from_hours(1)),
            (None, Some((head, body))) => {
                let _ = stream.write_all(format!("{head}\r\n\r\n").as_bytes());
                let _ = stream.write_all(&body);
            }
            _ => {}
        }
    }
}
