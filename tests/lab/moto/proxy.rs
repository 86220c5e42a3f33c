//! Stands between a driver and the API, sees every call, and lets those fail that a test picks.

use super::texts;
use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

/// What happens to a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// It is answered with an error, and has no effect.
    Says(u16, &'static str),
    /// The connection ends, and it has no effect.
    Before,
    /// It has its effect, and the connection ends without an answer.
    After,
    /// The answer comes late.
    Late(Duration),
    /// It never reaches the API and is never answered.
    HangBefore,
    /// It has its effect and is never answered.
    HangAfter,
}

/// Which calls a fault is for.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    /// The one of this number, from 1.
    Number(usize),
    /// So many of this action.
    Action(&'static str, usize),
}

/// A call that was seen.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) action: String,
    /// Id of the access key it was signed with.
    pub(crate) access_key: String,
    /// The whole request.
    pub(crate) request: String,
}

type Hook = Box<dyn Fn(&str, &str) + Send>;

#[derive(Default)]
struct State {
    plan: Vec<(Which, Fault)>,
    calls: Vec<Call>,
    /// Whether a fault has happened.
    hit: bool,
    hook: Option<Arc<Mutex<Hook>>>,
}

/// The proxy. It is there as long as the process.
#[derive(Clone)]
pub(crate) struct Proxy {
    pub(crate) port: u16,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Proxy {
    pub(crate) fn start(moto: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self { port: listener.local_addr().unwrap().port(), state: Arc::default() };
        let this = proxy.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let this = this.clone();
                thread::spawn(move || this.serve(stream, moto));
            }
        });
        proxy
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets what was seen, and lets these calls fail from now on.
    pub(crate) fn plan(&self, plan: Vec<(Which, Fault)>) {
        let mut state = self.state();
        *state = State { plan, hook: state.hook.take(), ..State::default() };
    }

    /// Calls this with action and answer of every call that succeeds, before it is answered.
    pub(crate) fn hook(&self, hook: impl Fn(&str, &str) + Send + 'static) {
        self.state().hook = Some(Arc::new(Mutex::new(Box::new(hook))));
    }

    /// The calls since the plan was made.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// The actions of those.
    pub(crate) fn actions(&self) -> Vec<String> {
        self.state().calls.iter().map(|call| call.action.clone()).collect()
    }

    /// Whether a planned fault has happened.
    pub(crate) fn hit(&self) -> bool {
        self.state().hit
    }

    /// Waits until a planned fault has happened.
    pub(crate) fn wait_hit(&self) {
        let mut state = self.state();
        while !state.hit {
            state = self.state.1.wait(state).unwrap();
        }
    }

    /// Lets those go on who wait.
    pub(crate) fn note_hit(&self) {
        self.state().hit = true;
        self.state.1.notify_all();
    }

    /// One request for each connection.
    fn serve(&self, mut stream: TcpStream, moto: u16) {
        let Ok(request) = read_request(&mut stream) else { return };
        let text = String::from_utf8_lossy(&request).into_owned();
        let after = |mark: &str, end: &[char]| {
            let rest = text.split(mark).nth(1).unwrap_or_default();
            rest.split(end).next().unwrap_or_default().to_owned()
        };
        let call = Call {
            action: after("Action=", &['&', ' ']),
            access_key: after("Credential=", &['/']),
            request: text.clone(),
        };
        let fault = {
            let mut state = self.state();
            state.calls.push(call.clone());
            let number = state.calls.len();

            state.plan.iter_mut().find_map(|(which, fault)| match which {
                Which::Number(n) => (*n == number).then_some(*fault),
                Which::Action(action, times) if *action == call.action && *times > 0 => {
                    *times -= 1;
                    Some(*fault)
                }
                Which::Action(..) => None,
            })
        };
        match fault {
            Some(Fault::Says(status, code)) => {
                self.note_hit();
                let body = format!(
                    "<?xml version=\"1.0\"?>\n<Response><Errors><Error><Code>{code}</Code><Message>As the test wants it.\
                     </Message></Error></Errors><RequestID>0</RequestID></Response>"
                );
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-type: text/xml\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
            Some(Fault::Before) => self.note_hit(),
            Some(Fault::HangBefore) => {
                self.note_hit();
                hang(&mut stream);
            }
            Some(Fault::After) => {
                let _ = self.effect(&call, &request, moto);
                self.note_hit();
            }
            Some(Fault::HangAfter) => {
                let _ = self.effect(&call, &request, moto);
                self.note_hit();
                hang(&mut stream);
            }
            Some(Fault::Late(wait)) => {
                self.note_hit();
                thread::sleep(wait);
                self.answer(&mut stream, &call, &request, moto);
            }
            None => self.answer(&mut stream, &call, &request, moto),
        }
    }

    fn answer(&self, stream: &mut TcpStream, call: &Call, request: &[u8], moto: u16) {
        if let Ok(answer) = self.effect(call, request, moto) {
            let _ = stream.write_all(&answer);
        }
    }

    fn effect(&self, call: &Call, request: &[u8], moto: u16) -> io::Result<Vec<u8>> {
        let answer = forward(request, moto)?;
        let hook = self.state().hook.clone();
        if let Some(hook) = hook {
            let text = String::from_utf8_lossy(&answer);
            if text.starts_with("HTTP/1.1 200") {
                (hook.lock().unwrap_or_else(PoisonError::into_inner))(&call.action, &text);
            }
        }
        Ok(answer)
    }
}

/// Until the other side has had enough.
fn hang(stream: &mut TcpStream) {
    let _ = stream.read(&mut [0]);
}

fn read_request(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut part = [0; 8192];
    loop {
        let head = request.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(head) = head {
            let text = String::from_utf8_lossy(&request[..head]).to_ascii_lowercase();
            let length = text.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            if request.len() >= head + 4 + length.unwrap_or(0) {
                return Ok(request);
            }
        }
        match stream.read(&mut part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&part[..read]),
        }
    }
}

/// The API's answer, after which both connections end.
fn forward(request: &[u8], moto: u16) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", moto))?;
    stream.write_all(&closing(request))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(closing(&answer))
}

/// With `connection: close` among its headers.
fn closing(message: &[u8]) -> Vec<u8> {
    let end = message.windows(2).position(|two| two == b"\r\n").unwrap_or(0);
    let (first, rest) = message.split_at(end);
    [first, b"\r\nconnection: close", rest].concat()
}

/// The value of the first element of a name in an answer.
pub(crate) fn text(answer: &str, name: &str) -> String {
    texts(answer, name).into_iter().next().unwrap_or_default()
}
