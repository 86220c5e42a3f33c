//! A bad network in front of a real host: a proxy for TCP that delays, holds up, stalls or cuts what goes through it.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

/// How the network is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Weather {
    /// As this computer's loopback.
    Fine,
    /// Every piece arrives this much later; each that is lost, and sent again, once more after `again`.
    Slow { delay: Duration, lost_percent: u64, again: Duration },
    /// Nothing arrives, and no error is told.
    Stalled,
}

/// The proxy. It ends with the test.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    weather: Arc<Mutex<Weather>>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    pub(crate) fn to(host: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let weather = Arc::new(Mutex::new(Weather::Fine));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (now, kept) = (weather.clone(), open.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect_timeout(&host, Duration::from_secs(10)) else { continue };
                kept.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                for (from, to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server.try_clone().unwrap(), client.try_clone().unwrap()),
                ] {
                    let weather = now.clone();
                    thread::spawn(move || carry(from, to, &weather));
                }
            }
        });
        Self { port, weather, open }
    }

    pub(crate) fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    /// Ends all connections, as a router that forgets them and says so.
    pub(crate) fn cut(&self) {
        for stream in self.open.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// Chance that is the same in every run.
fn chance() -> u64 {
    static SEED: AtomicU64 = AtomicU64::new(1);
    let next = |seed: u64| seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    SEED.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |seed| Some(next(seed))).unwrap() >> 33
}

fn carry(mut from: TcpStream, mut to: TcpStream, weather: &Mutex<Weather>) {
    let mut bytes = [0; 16 * 1024];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        loop {
            let now = *weather.lock().unwrap();
            match now {
                Weather::Fine => break,
                Weather::Slow { delay, lost_percent, again } => {
                    thread::sleep(delay);
                    if chance() % 100 < lost_percent {
                        thread::sleep(again);
                    }
                    break;
                }
                Weather::Stalled => thread::sleep(Duration::from_millis(20)),
            }
        }
        if to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}
