//! One connection per host and run. It knows nothing of SSH.

use super::{Connect, Target, Transport, TransportError};
use crate::{name::MachineName, record::SshEndpoint};
use async_trait::async_trait;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Wraps what opens connections, and keeps those that are open.
///
/// Endpoints are part of the key: a machine that was made anew is not taken for the old one.
pub struct Pool {
    inner: Arc<dyn Connect>,
    slots: Mutex<HashMap<MachineName, Vec<(SshEndpoint, Slot)>>>,
}

type Slot = Arc<tokio::sync::Mutex<Option<Arc<dyn Transport>>>>;

impl Pool {
    /// An empty pool that opens connections with `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn Connect>) -> Self {
        Self { inner, slots: Mutex::default() }
    }

    fn slot(&self, target: &Target) -> Slot {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let of_machine = slots.entry(target.machine.clone()).or_default();
        if let Some((_, slot)) = of_machine.iter().find(|(ssh, _)| *ssh == target.ssh) {
            return Arc::clone(slot);
        }
        let slot = Slot::default();
        of_machine.push((target.ssh.clone(), Arc::clone(&slot)));
        slot
    }
}

#[async_trait]
impl Connect for Pool {
    /// Gives the open connection, or opens one; those who ask meanwhile wait for it.
    async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
        let slot = self.slot(target);
        let mut kept = slot.lock().await;
        if let Some(open) = kept.as_ref()
            && !open.is_closed()
            && is_pinned(&target.host_keys, Some(&open.host_key()))
            && open.jump_keys().iter().all(|key| is_pinned(&target.jump_keys, Some(key)))
        {
            return Ok(Arc::clone(open));
        }
        // A key that is pinned now but was not when the connection was opened is refused by opening anew.
        *kept = None;
        let opened = self.inner.connect(target).await?;
        *kept = Some(Arc::clone(&opened));
        Ok(opened)
    }

    fn limit_bastions(&self, most: usize) {
        self.inner.limit_bastions(most);
    }
}

/// Whether the key that was met is one of `pins`; with no pins, or no such host, every one is.
fn is_pinned(pins: &[String], met: Option<&String>) -> bool {
    let words = |line: &str| line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>();
    match met {
        Some(met) if !pins.is_empty() => pins.iter().any(|pin| words(pin) == words(met)),
        Some(_) | None => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        quote::Sh,
        transport::{Limits, LineSink, Output, Stream},
    };
    use std::{
        pin::Pin,
        sync::atomic::{AtomicBool, AtomicUsize, Ordering},
        time::Duration,
    };

    struct Line(AtomicBool);

    #[async_trait]
    impl Transport for Line {
        async fn run(&self, _: &Sh, _: &[u8], _: Limits, _: LineSink<'_>) -> Result<Output, TransportError> {
            panic!("the pool runs nothing")
        }
        async fn open_unix(&self, _: &str) -> Result<Pin<Box<dyn Stream>>, TransportError> {
            panic!("the pool opens no sockets")
        }
        fn host_key(&self) -> String {
            "ssh-ed25519 AAAA".into()
        }
        fn jump_key(&self) -> Option<String> {
            None
        }
        fn needs_sudo(&self) -> bool {
            false
        }
        fn is_closed(&self) -> bool {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[derive(Default)]
    struct Counting {
        opened: AtomicUsize,
        lines: Mutex<Vec<Arc<Line>>>,
        failing: AtomicBool,
    }

    #[async_trait]
    impl Connect for Counting {
        async fn connect(&self, target: &Target) -> Result<Arc<dyn Transport>, TransportError> {
            self.opened.fetch_add(1, Ordering::Relaxed);
            tokio::task::yield_now().await;
            if self.failing.load(Ordering::Relaxed) {
                let (machine, address) = (target.machine.clone(), "a:22".into());
                return Err(TransportError::Connect { machine, address, why: "no".into() });
            }
            let line = Arc::new(Line(AtomicBool::new(false)));
            self.lines.lock().unwrap().push(Arc::clone(&line));
            Ok(line)
        }
    }

    fn target(machine: &str, host: &str) -> Target {
        Target {
            machine: MachineName::new(machine).unwrap(),
            ssh: SshEndpoint {
                host: host.into(),
                port: 22,
                user: "root".into(),
                key: None,
                passphrase: None,
                jump: None,
            },
            host_keys: Vec::new(),
            jump_keys: Vec::new(),
            connect_timeout: Duration::from_secs(1),
            patience: Duration::ZERO,
            lookup: None,
        }
    }

    fn pool() -> (Arc<Counting>, Pool) {
        let counting = Arc::new(Counting::default());
        (Arc::clone(&counting), Pool::new(counting))
    }

    #[tokio::test]
    async fn a_host_is_connected_to_once_however_many_ask_at_the_same_time() {
        let (counting, pool) = pool();
        let (one, two) = (target("a", "10.0.0.1"), target("b", "10.0.0.2"));
        let (first, second, other) = tokio::join!(pool.connect(&one), pool.connect(&one), pool.connect(&two));
        assert!(Arc::ptr_eq(&first.unwrap(), &second.unwrap()));
        assert!(other.is_ok());
        assert_eq!(counting.opened.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn another_address_or_a_dead_connection_opens_a_new_one() {
        let (counting, pool) = pool();
        let opened = || counting.opened.load(Ordering::Relaxed);
        pool.connect(&target("a", "10.0.0.1")).await.unwrap();
        pool.connect(&target("a", "10.0.0.9")).await.unwrap();
        assert_eq!(opened(), 2);
        counting.lines.lock().unwrap()[0].0.store(true, Ordering::Relaxed);
        pool.connect(&target("a", "10.0.0.1")).await.unwrap();
        pool.connect(&target("a", "10.0.0.1")).await.unwrap();
        assert_eq!(opened(), 3);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let (counting, pool) = pool();
        counting.failing.store(true, Ordering::Relaxed);
        assert!(pool.connect(&target("a", "10.0.0.1")).await.is_err());
        counting.failing.store(false, Ordering::Relaxed);
        assert!(pool.connect(&target("a", "10.0.0.1")).await.is_ok());
    }

    #[tokio::test]
    async fn a_connection_is_not_given_to_who_pins_another_key() {
        let (counting, pool) = pool();
        let mut pinned = target("a", "10.0.0.1");
        pinned.host_keys = vec!["ssh-ed25519 AAAA comment".into()];
        pool.connect(&target("a", "10.0.0.1")).await.unwrap();
        pool.connect(&pinned).await.unwrap();
        assert_eq!(counting.opened.load(Ordering::Relaxed), 1);
        pinned.host_keys = vec!["ssh-ed25519 BBBB".into()];
        pool.connect(&pinned).await.unwrap();
        assert_eq!(counting.opened.load(Ordering::Relaxed), 2);
    }
}
