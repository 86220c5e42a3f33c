//! A store as tests use it: each call waits for its answer, and a record is put over whatever there is.

use machine::{
    driver::Drivers,
    name::{FleetName, MachineName},
    record::{MachineRecord, Snapshot, Tombstone},
    store::{
        Area, Expect, Files, Held, Holder, Journal, Leases, MachineChange, Mode, NewFile, Records, Scope, Seen, Store,
        StoreError, Subject, folder::FolderStore, memory::MemoryStore,
    },
};
use std::{
    collections::BTreeMap,
    ops::Deref,
    path::{Path, PathBuf},
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

/// What comes of work that waits for no more than files, and others who hold them for a moment.
pub(crate) fn now<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(result) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return result;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// A store, and what keeps it.
pub(crate) struct Plain<B> {
    pub(crate) backend: Arc<B>,
    pub(crate) store: Store,
}

impl<B> Clone for Plain<B> {
    fn clone(&self) -> Self {
        Self { backend: self.backend.clone(), store: self.store.clone() }
    }
}

impl<B> Deref for Plain<B> {
    type Target = Store;

    fn deref(&self) -> &Store {
        &self.store
    }
}

impl<B: Records + Files + Leases + Journal + 'static> From<Arc<B>> for Plain<B> {
    fn from(backend: Arc<B>) -> Self {
        Self { store: Store::from(backend.clone()), backend }
    }
}

/// The store of a world, as tests use it.
pub(crate) trait AtOnce {
    fn at_once(&self) -> Plain<()>;
}

impl AtOnce for Store {
    fn at_once(&self) -> Plain<()> {
        Plain { backend: Arc::new(()), store: self.clone() }
    }
}

/// A store in memory.
pub(crate) fn memory() -> Plain<MemoryStore> {
    Arc::new(MemoryStore::default()).into()
}

/// The store in a folder.
pub(crate) fn folder(root: impl AsRef<Path>) -> Plain<FolderStore> {
    Arc::new(FolderStore::new(root, Drivers::built_in()).expect("a path can be made absolute")).into()
}

/// As [`folder`], with leases that end sooner.
pub(crate) fn impatient(root: impl AsRef<Path>, lease: Duration) -> Plain<FolderStore> {
    let store = FolderStore::with_lease(root, lease, Drivers::built_in()).expect("a path can be made absolute");
    Arc::new(store).into()
}

impl<B> Plain<B> {
    pub(crate) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        now(self.records.snapshot())
    }

    pub(crate) fn names(&self) -> Result<Vec<String>, StoreError> {
        now(self.records.names())
    }

    pub(crate) fn get(&self, name: &MachineName) -> Result<MachineRecord, StoreError> {
        now(self.store.get(name))
    }

    pub(crate) fn put(&self, record: &MachineRecord) -> Result<(), StoreError> {
        now(async {
            let version = self.records.version(&record.name).await?;
            let expect = version.as_ref().map_or(Expect::Absent, Expect::Is);
            self.records.put_if(MachineChange::of(record), expect).await.map(drop)
        })
    }

    pub(crate) fn remove(&self, name: &MachineName) -> Result<(), StoreError> {
        now(self.store.remove(name))
    }

    pub(crate) fn read(&self, area: Area<'_>, file: &str) -> Result<Option<Vec<u8>>, StoreError> {
        now(self.files.read(area, file))
    }

    pub(crate) fn write(&self, area: Area<'_>, file: &str, content: &[u8], mode: Mode) -> Result<(), StoreError> {
        self.write_together(area, &[(file, content, mode)])
    }

    pub(crate) fn write_together(&self, area: Area<'_>, files: &[NewFile<'_>]) -> Result<(), StoreError> {
        now(self.files.write(area, files))
    }

    pub(crate) fn machine_dir(&self, name: &MachineName) -> Result<PathBuf, StoreError> {
        now(self.files.machine_dir(name))
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.files.root().to_owned()
    }

    pub(crate) fn id(&self) -> Result<String, StoreError> {
        now(self.records.id())
    }

    pub(crate) fn tombstones(&self) -> Result<BTreeMap<String, Result<Tombstone, String>>, StoreError> {
        now(self.records.tombstones())
    }

    pub(crate) fn take(&self, scope: &Scope, holder: &Holder) -> Result<Box<dyn Held>, StoreError> {
        now(self.leases.take(scope, holder))
    }

    /// A fleet without machines.
    pub(crate) fn lock(&self, fleet: &FleetName, holder: &Holder) -> Result<Box<dyn Held>, StoreError> {
        self.take(&Scope::of_fleet(fleet, []), holder)
    }

    pub(crate) fn lock_machine(&self, machine: &MachineName, holder: &Holder) -> Result<Box<dyn Held>, StoreError> {
        self.take(&Scope::of_machines([machine]), holder)
    }

    pub(crate) fn still_held(&self) -> Result<(), StoreError> {
        now(self.leases.still_held())
    }

    pub(crate) fn passes(&self) -> String {
        self.leases.passes()
    }

    pub(crate) fn locks(&self) -> Result<Vec<Seen>, StoreError> {
        now(self.leases.held())
    }

    pub(crate) fn end(&self, subject: &Subject) -> Result<(), StoreError> {
        now(self.leases.end(subject))
    }
}

/// What only memory can do.
impl Plain<MemoryStore> {
    pub(crate) fn set_fuse(&self, writes: Option<usize>) {
        self.backend.set_fuse(writes);
    }

    pub(crate) fn set_lossy_fuse(&self, writes: Option<usize>) {
        self.backend.set_lossy_fuse(writes);
    }

    pub(crate) fn writes(&self) -> usize {
        self.backend.writes()
    }

    pub(crate) fn lose(&self, subject: Subject) {
        self.backend.lose(subject);
    }

    pub(crate) fn break_record(&self, name: &str, why: &str) {
        self.backend.break_record(name, why);
    }

    pub(crate) fn mode(&self, area: Area<'_>, file: &str) -> Option<Mode> {
        self.backend.mode(area, file)
    }
}
