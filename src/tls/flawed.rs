//! What is wrong with the files that the TLS of one machine needs on this computer, and what repairs it.

use super::{
    Inspected, Purpose,
    judge::{self, Flaw, Found, Judged, Standing},
};
use crate::{clock::Timestamp, digest::sha256_hex};
use serde::{Deserialize, Serialize};
use std::fmt;

/// What a file is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The authority's certificate.
    Authority,
    /// The authority's key. Needed only where something is to be issued.
    AuthorityKey,
    /// The client's certificate, as the authority issued it.
    Client,
    /// Its key.
    ClientKey,
    /// The copy of the authority's certificate that clients of this machine use.
    CopyOfAuthority,
    /// The copy of the client's certificate.
    CopyOfClient,
    /// The copy of its key.
    CopyOfClientKey,
    /// The certificate of the machine's engine.
    Server,
    /// Its key.
    ServerKey,
}

impl Role {
    /// Whether clients and this engine know each other by it: what is wrong with it explains why they do not.
    #[must_use]
    pub const fn is_used_with_engine(self) -> bool {
        match self {
            Self::Authority
            | Self::CopyOfAuthority
            | Self::CopyOfClient
            | Self::CopyOfClientKey
            | Self::Server
            | Self::ServerKey => true,
            Self::AuthorityKey | Self::Client | Self::ClientKey => false,
        }
    }
}

/// What repairs a file.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Repair {
    /// It is written again from what is sound; the engine's certificate stays.
    Put,
    /// The engine is issued a new certificate.
    Issue,
    /// Only a new authority helps, which all its engines must be given.
    Decide,
    /// It is not the store's: its owner repairs it.
    Yours,
}

/// A file with something wrong.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Flawed {
    /// Where it is: below the store's folder, or an absolute path.
    pub file: String,
    /// What it is for.
    pub role: Role,
    /// What is wrong with it.
    pub flaw: Flaw,
    /// What repairs it.
    pub repair: Repair,
}

impl fmt::Display for Flawed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, flaw, .. } = self;
        if file.starts_with('/') { write!(f, "{file}: {flaw}") } else { write!(f, "{file} in the store: {flaw}") }
    }
}

/// A file as it was found.
#[derive(Clone, Debug)]
pub struct File {
    /// Where it is, as [`Flawed::file`].
    pub name: String,
    /// What is in it.
    pub found: Found,
    /// Whether it is the user's own, and not the store's.
    pub foreign: bool,
}

/// What the TLS of all machines needs that go by one authority and one client, judged once for all of them.
#[derive(Clone, Debug)]
pub struct Shared {
    authority: [File; 2],
    client: [File; 2],
    twin: Option<Vec<u8>>,
    judged_authority: Judged,
    judged_client: Judged,
    standing: Standing,
    when: When,
}

impl Shared {
    /// Certificate and key of the authority, and of the client. `twin` is a copy of the authority's certificate that fits
    /// its key, from the folder of a machine; it is only looked for where the certificate itself is damaged.
    #[must_use]
    pub fn of(authority: [File; 2], client: [File; 2], twin: Option<Vec<u8>>, when: When) -> Self {
        let [cert, key] = &authority;
        let judged_authority = judge::authority(&cert.found, &key.found, when.now, when.renew);
        let standing = judge::standing(&judged_authority);
        let about = judged_authority.about.as_ref().filter(|about| about.authority && standing != Standing::Mixed);
        let [cert, key] = &client;
        let judged_client = judge::leaf(&cert.found, &key.found, Purpose::Client, about, when.now, when.renew);
        Self { authority, client, twin, judged_authority, judged_client, standing, when }
    }

    /// The file with the authority's certificate.
    #[must_use]
    pub const fn authority(&self) -> &File {
        &self.authority[0]
    }

    /// Whether copies are those of what is sound here, byte by byte: most are, and then all is known of them.
    fn has_made([ca, cert, key]: &[File; 3], shared: &Self, recorded: Recorded<'_>) -> bool {
        let about = shared.judged_authority.about.as_ref();
        shared.standing == Standing::Sound
            && about.is_some_and(|about| about.sha256 == recorded.authority)
            && ca.found == shared.authority[0].found
            && cert.found == shared.client[0].found
            && key.found == shared.client[1].found
    }
}

/// What the TLS of one machine needs besides.
#[derive(Clone, Debug)]
pub struct Own {
    /// The machine's copies of the authority's certificate, the client's certificate, and its key; `None` where the
    /// originals lie in the machine's folder, as those of an imported one do.
    pub copies: Option<[File; 3]>,
    /// Certificate and key of the engine.
    pub server: [File; 2],
}

/// What is recorded of an engine's certificate, as digests of PEM texts.
#[derive(Clone, Copy, Debug)]
pub struct Recorded<'a> {
    /// Of the certificate.
    pub server: &'a str,
    /// Of the authority that signed it.
    pub authority: &'a str,
}

/// When it is, and how long before their end certificates are replaced.
#[derive(Clone, Copy, Debug)]
pub struct When {
    /// Now.
    pub now: Timestamp,
    /// In days.
    pub renew: i64,
}

/// Everything that is wrong, the authority first.
#[must_use]
pub fn judge(shared: &Shared, own: &Own, recorded: Recorded<'_>) -> Vec<Flawed> {
    let when = shared.when;
    let mut all = Vec::new();
    let mut note = |file: &File, role, flaw: &Option<Flaw>, repair| {
        if let Some(flaw) = flaw.clone() {
            // What cannot even be read is for its owner to look at, whatever would repair it.
            let repair = if matches!(flaw, Flaw::NoAccess(_)) { Repair::Yours } else { repair };
            all.push(Flawed { file: file.name.clone(), role, flaw, repair });
        }
    };
    let owned = |file: &File, flaw: Option<&Flaw>, repair| {
        if file.foreign && flaw != Some(&Flaw::Absent) { Repair::Yours } else { repair }
    };

    let [cert, key] = &shared.authority;
    let (authority, standing) = (&shared.judged_authority, shared.standing);
    let restored = shared.twin.as_deref().is_some_and(|twin| sha256_hex(twin) == recorded.authority);
    let repair = match standing {
        Standing::Sound => Repair::Put,
        Standing::New => owned(cert, authority.cert.as_ref(), Repair::Issue),
        Standing::Again | Standing::Mixed if cert.foreign => Repair::Yours,
        Standing::Again | Standing::Mixed if restored => Repair::Put,
        Standing::Again => Repair::Issue,
        Standing::Mixed if shared.twin.is_some() => Repair::Issue,
        Standing::Lost | Standing::Mixed if cert.foreign || key.foreign => Repair::Yours,
        Standing::Lost | Standing::Mixed => Repair::Decide,
    };
    let signs = repair <= Repair::Issue && standing != Standing::Lost;
    // A certificate that is swapped looks well by itself.
    let swapped = (standing == Standing::Mixed && signs && authority.cert.is_none()).then_some(Flaw::OtherAuthority);
    note(cert, Role::Authority, &authority.cert.clone().or(swapped), repair);
    if !signs || standing == Standing::New {
        note(key, Role::AuthorityKey, &authority.key, if signs { Repair::Issue } else { repair.max(Repair::Decide) });
    }

    let copies = own.copies.as_ref().map(|copies| {
        if Shared::has_made(copies, shared, recorded) {
            Copies { ca: None, client: shared.judged_client.clone() }
        } else {
            Copies::judge(copies, recorded, when)
        }
    });
    let [cert, key] = &shared.client;
    let client = &shared.judged_client;
    // One that cannot be issued again is not missed as long as this machine has good copies.
    let missed = signs || copies.as_ref().is_none_or(|copies| !copies.are_sound());
    let mut source = Repair::Put;
    if missed {
        let lost = if signs { Repair::Put } else { repair.max(Repair::Decide) };
        for (file, role, flaw) in [(cert, Role::Client, &client.cert), (key, Role::ClientKey, &client.key)] {
            let repair = owned(file, flaw.as_ref(), lost);
            source = source.max(if flaw.is_some() { repair } else { Repair::Put });
            note(file, role, flaw, repair);
        }
    }
    if let (Some([ca, cert, key]), Some(copies)) = (&own.copies, &copies) {
        note(ca, Role::CopyOfAuthority, &copies.ca, source);
        note(cert, Role::CopyOfClient, &copies.client.cert, source);
        note(key, Role::CopyOfClientKey, &copies.client.key, source);
    }

    let [cert, key] = &own.server;
    // Of one that is not the recorded one, nothing else matters.
    if cert.found.as_ref().is_ok_and(|found| found.as_deref().map(sha256_hex).as_deref() == Some(recorded.server)) {
        let server = judge::leaf(&cert.found, &key.found, Purpose::Server, None, when.now, 0);
        let lost = if signs { Repair::Issue } else { repair.max(Repair::Decide) };
        // When it ends is recorded, and planned by that.
        note(cert, Role::Server, &server.cert.filter(|flaw| !matches!(flaw, Flaw::Ends(_))), lost);
        note(key, Role::ServerKey, &server.key, lost);
    }
    all
}

/// What is wrong with the copies in a machine's folder.
struct Copies {
    ca: Option<Flaw>,
    client: Judged,
}

impl Copies {
    fn judge([ca, cert, key]: &[File; 3], recorded: Recorded<'_>, when: When) -> Self {
        let copy = judge::copy(&ca.found);
        let flaw = match &copy {
            Ok(about) if about.sha256 != recorded.authority => Some(Flaw::OtherAuthority),
            Ok(about) => judge::in_time(about, when.now, 0),
            Err(flaw) => Some(flaw.clone()),
        };
        let about: Option<&Inspected> = copy.as_ref().ok().filter(|_| flaw.is_none());
        Self { ca: flaw, client: judge::leaf(&cert.found, &key.found, Purpose::Client, about, when.now, when.renew) }
    }

    const fn are_sound(&self) -> bool {
        self.ca.is_none() && self.client.is_sound()
    }
}
