//! The files of one authority and its client, looked at and made. What is about to be written is noted first, so that a
//! run that is cut off is finished by the next.

use super::{
    Area, Mode, Store, StoreError, auth,
    authority::{AuthorityError, Deed, Identity, RENEW_DAYS, twin},
    copies, kept,
};
use crate::{
    clock::Timestamp,
    record::auth::AuthFiles,
    tls::{
        self, Authority, Flaw, Found, Pair, Purpose, Standing, TlsError,
        judge::{self, Judged},
    },
};
use std::{collections::BTreeMap, path::Path};

/// In the store's `certs`, files that are being written: a JSON object of their texts by path; empty when none are.
pub(super) const PENDING: &str = "pending.json";

/// What is wanted beside what is missing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Wish {
    /// What is good stays.
    Good,
    /// A new identity of the client.
    NewClient,
    /// A new authority, and so a new identity of the client.
    NewAuthority,
}

/// What there is in the end, and what was done for it.
pub(super) struct Made {
    pub(super) authority: Authority,
    pub(super) identity: Identity,
    pub(super) deeds: Vec<Deed>,
}

/// What is there.
pub(super) struct Look {
    /// The authority's certificate and key, the client's certificate and key.
    found: [Found; 4],
    authority: Judged,
    client: Judged,
    pub(super) pending: Option<BTreeMap<String, String>>,
}

impl Look {
    fn text(&self, n: usize) -> String {
        let bytes = self.found[n].as_ref().ok().and_then(Option::as_deref).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// That of the client, if it is good.
    pub(super) fn identity(&self) -> Option<Identity> {
        let good = self.authority.cert.is_none() && self.client.is_sound();
        good.then(|| Identity { ca: self.text(0), cert: self.text(2), key: self.text(3) })
    }
}

/// What is about to be written.
#[derive(Default)]
struct Change {
    note: BTreeMap<String, String>,
    deeds: Vec<Deed>,
}

impl Change {
    fn write(&mut self, path: &Path, text: &str) {
        self.note.insert(path.to_string_lossy().into_owned(), text.to_owned());
    }
}

/// The files of one authority and its client, and when it is.
pub(super) struct Kit<'a> {
    pub(super) store: &'a Store,
    pub(super) files: &'a AuthFiles,
    pub(super) now: Timestamp,
}

impl Kit<'_> {
    pub(super) async fn ensure(&self) -> Result<Made, AuthorityError> {
        // Another process may be in the middle of it: only "all is well" counts without the lock.
        if let Some(made) = Self::good(&self.look().await?) {
            return Ok(made);
        }
        self.locked(Wish::Good).await
    }

    pub(super) async fn locked(&self, wish: Wish) -> Result<Made, AuthorityError> {
        let outside = auth::outside(self.store.files.root(), self.files);
        let _held = self.store.files.hold_certificates(&outside).await?;
        self.make(wish).await
    }

    pub(super) async fn look(&self) -> Result<Look, AuthorityError> {
        let AuthFiles { ca_cert, ca_key, client_cert, client_key } = self.files;
        let read = async |path| Ok::<Found, StoreError>(Ok(auth::read(self.store, path).await?));
        let pending = self.store.files.read(Area::Certs, PENDING).await?.filter(|text| !text.is_empty());
        // Unreadable is impossible, since it is written atomically, but must not be fatal: files may be whole.
        let pending = pending.map(|text| serde_json::from_slice(&text).unwrap_or_default());
        let found = [read(ca_cert).await?, read(ca_key).await?, read(client_cert).await?, read(client_key).await?];
        let [ca, ca_key, cert, key] = &found;
        let authority = judge::authority(ca, ca_key, self.now, RENEW_DAYS);
        let about = authority.about.as_ref().filter(|about| about.authority);
        let client = judge::leaf(cert, key, Purpose::Client, about, self.now, RENEW_DAYS);
        Ok(Look { found, authority, client, pending })
    }

    /// What is there, if it is all good.
    fn good(seen: &Look) -> Option<Made> {
        let sound = seen.pending.is_none() && seen.authority.is_sound();
        let identity = seen.identity().filter(|_| sound)?;
        let authority = tls::load_authority(&seen.text(0), &seen.text(1)).ok()?;
        Some(Made { authority, identity, deeds: Vec::new() })
    }

    /// Makes what is missing. The lock is held.
    async fn make(&self, wish: Wish) -> Result<Made, AuthorityError> {
        let mut seen = self.look().await?;
        if let Some(noted) = seen.pending {
            self.write_noted(&noted).await?;
            seen = self.look().await?;
        }
        if let Some(made) = Self::good(&seen).filter(|_| wish == Wish::Good) {
            return Ok(made);
        }
        let mut change = Change::default();
        let authority = self.authority(&seen, wish, &mut change).await?;
        let identity = self.client(&seen, &authority, wish, &mut change).await?;
        let text = serde_json::to_string(&change.note).expect("texts by path are plain data");
        self.store.files.write(Area::Certs, &[(PENDING, text.as_bytes(), Mode::Private)]).await?;
        self.write_noted(&change.note).await?;
        Ok(Made { authority, identity, deeds: change.deeds })
    }

    /// The authority as it will be.
    async fn authority(&self, seen: &Look, wish: Wish, change: &mut Change) -> Result<Authority, AuthorityError> {
        let AuthFiles { ca_cert, ca_key, .. } = self.files;
        let made = wrong(ca_cert);
        let flaw = seen.authority.cert.clone();
        let standing = if wish == Wish::NewAuthority { Standing::New } else { judge::standing(&seen.authority) };
        let key = seen.text(1);
        let damaged = flaw.as_ref().is_none_or(|flaw| !flaw.is_of_time());
        let twin = match standing {
            Standing::Again | Standing::Mixed if damaged => twin(self.store, self.files, &key, self.now).await?,
            _ => None,
        };
        let pair = match (standing, twin) {
            (Standing::Sound, _) => return tls::load_authority(&seen.text(0), &key).map_err(made),
            (Standing::Lost, _) | (Standing::Mixed, None) => return Err(self.lost(seen).await?),
            (Standing::Again | Standing::Mixed, Some((machine, cert))) => {
                self.own(ca_cert, flaw.as_ref().unwrap_or(&Flaw::OtherAuthority))?;
                self.keep(ca_cert, change).await?;
                change.deeds.push(Deed::RestoredAuthority(ca_cert.clone(), machine));
                Pair { cert, key }
            }
            (Standing::Again, None) => {
                let flaw = flaw.unwrap_or(Flaw::Absent);
                self.own(ca_cert, &flaw)?;
                if kept::is_damage(Some(&flaw)) {
                    self.keep(ca_cert, change).await?;
                }
                change.deeds.push(Deed::RenewedAuthority(ca_cert.clone(), flaw));
                let old = seen.authority.about.as_ref().filter(|_| !damaged);
                tls::again(&key, old, &self.organisation().await?, self.now).map_err(&made)?
            }
            (Standing::New, _) => {
                let absent = [&seen.found[0], &seen.found[1]].iter().all(|found| is_absent(found));
                if absent {
                    change.deeds.push(Deed::CreatedAuthority(ca_cert.clone()));
                } else {
                    self.replace(seen, wish, change).await?;
                }
                tls::new_authority(&self.organisation().await?, self.now).map_err(&made)?
            }
        };
        let authority = tls::load_authority(&pair.cert, &pair.key).map_err(&made)?;
        change.write(ca_cert, &pair.cert);
        change.write(ca_key, &pair.key);
        Ok(authority)
    }

    /// Sees to it that nothing is lost with an authority that a new one takes the place of.
    async fn replace(&self, seen: &Look, wish: Wish, change: &mut Change) -> Result<(), AuthorityError> {
        let AuthFiles { ca_cert, ca_key, .. } = self.files;
        for (n, path) in [ca_cert, ca_key].into_iter().enumerate() {
            if !is_absent(&seen.found[n]) {
                let judged = &seen.authority;
                let flaw = if n == 0 { &judged.cert } else { &judged.key };
                self.own(path, flaw.as_ref().or(judged.cert.as_ref()).unwrap_or(&Flaw::OtherKey))?;
            }
            if wish == Wish::NewAuthority {
                self.keep(path, change).await?;
            }
        }
        change.deeds.push(Deed::ReplacedAuthority);
        if seen.client.is_whole() {
            // Engines go on knowing the old identity alone: it must not be lost with the files.
            for machine in auth::users(self.store, self.files).await? {
                copies::fill(self.store, &machine, self.now).await?;
            }
        }
        Ok(())
    }

    /// The client's identity as it will be.
    async fn client(
        &self,
        seen: &Look,
        authority: &Authority,
        wish: Wish,
        change: &mut Change,
    ) -> Result<Identity, AuthorityError> {
        let AuthFiles { client_cert, client_key, .. } = self.files;
        let [_, _, cert, key] = &seen.found;
        let judged = judge::leaf(cert, key, Purpose::Client, Some(&authority.about), self.now, RENEW_DAYS);
        let ca = authority.cert_pem.clone();
        if wish == Wish::Good && judged.is_sound() {
            return Ok(Identity { ca, cert: seen.text(2), key: seen.text(3) });
        }
        let flaw = judged.cert.or(judged.key);
        let damage =
            [&seen.client.cert, &seen.client.key].into_iter().flatten().find(|flaw| kept::is_damage(Some(flaw)));
        // A whole pair of another authority may be good elsewhere.
        let stranger = seen.client.cert == Some(Flaw::OtherAuthority);
        let own = [
            (cert, client_cert, kept::is_damage(seen.client.cert.as_ref())),
            (key, client_key, kept::is_damage(seen.client.key.as_ref()) || stranger),
        ];
        for (found, path, damaged) in own {
            // What is asked for in so many words is done wherever it lies.
            if wish == Wish::Good && !is_absent(found) {
                self.own(path, flaw.as_ref().unwrap_or(&Flaw::OtherKey))?;
            }
            if damaged {
                self.keep(path, change).await?;
            }
        }
        change.deeds.push(match damage {
            _ if wish != Wish::Good || is_absent(cert) => Deed::CreatedClient(client_cert.clone()),
            Some(flaw) => Deed::RepairedClient(client_cert.clone(), flaw.clone()),
            None => Deed::ReplacedClient,
        });
        let made = wrong(self.files.ca_cert.as_path());
        let client = tls::issue_client(authority, "client", self.now, tls::LEAF_DAYS).map_err(made)?;
        change.write(client_cert, &client.cert);
        change.write(client_key, &client.key);
        Ok(Identity { ca, cert: client.cert, key: client.key })
    }

    /// Refuses to replace a file of the user's own.
    fn own(&self, path: &Path, flaw: &Flaw) -> Result<(), AuthorityError> {
        if path.starts_with(self.store.files.root()) {
            return Ok(());
        }
        Err(AuthorityError::Foreign { path: path.display().to_string(), flaw: flaw.clone() })
    }

    async fn keep(&self, path: &Path, change: &mut Change) -> Result<(), AuthorityError> {
        let root = self.store.files.root();
        let (area, name) = auth::place(root, path);
        if let Some(kept) = kept::beside(self.store, area, name, self.now).await? {
            change.deeds.push(Deed::Kept(path.with_file_name(kept)));
        }
        Ok(())
    }

    /// That nothing can be issued, and who is hit by it.
    async fn lost(&self, seen: &Look) -> Result<AuthorityError, AuthorityError> {
        let AuthFiles { ca_cert, ca_key, .. } = self.files;
        let (path, flaw) = match (&seen.authority.key, &seen.authority.cert) {
            (Some(flaw), _) => (ca_key, flaw.clone()),
            (None, flaw) => (ca_cert, flaw.clone().unwrap_or(Flaw::OtherKey)),
        };
        self.own(path, &flaw)?;
        let machines = auth::users(self.store, self.files).await?;
        Ok(AuthorityError::Lost { path: path.display().to_string(), flaw, machines })
    }

    /// What a new authority is called by, beside what all are.
    async fn organisation(&self) -> Result<String, StoreError> {
        let id = self.store.records.id().await?;
        Ok(format!("store {}", id.get(..8).unwrap_or(&id)))
    }

    /// Writes all that was noted, by this run or another, and says that it is done.
    async fn write_noted(&self, note: &BTreeMap<String, String>) -> Result<(), StoreError> {
        let root = self.store.files.root();
        for (path, text) in note {
            // Earlier versions noted names of files in `certs`.
            let path = root.join("certs").join(path);
            let (area, name) = auth::place(root, &path);
            self.store.files.write(area, &[(name, text.as_bytes(), mode_of(text))]).await?;
        }
        self.store.files.write(Area::Certs, &[(PENDING, b"", Mode::Private)]).await
    }
}

fn is_absent(found: &Found) -> bool {
    found.as_ref().is_ok_and(|bytes| bytes.as_ref().is_none_or(|bytes| bytes.iter().all(u8::is_ascii_whitespace)))
}

/// A key is for us alone, whatever its file is called.
fn mode_of(text: &str) -> Mode {
    if text.contains("PRIVATE KEY-") { Mode::Private } else { Mode::Public }
}

/// Makes `map_err` of what is wrong with a file.
fn wrong(path: &Path) -> impl Fn(TlsError) -> AuthorityError {
    let path = path.display().to_string();
    move |source| AuthorityError::File { path: path.clone(), source }
}
