//! One record that two changed: both changes are in it, unless both changed the same.

use super::{Instance, MachineRecord};
use crate::hook::HookRecord;
use std::collections::{BTreeMap, BTreeSet};

/// What two made of one record, together. What neither knows of the other's is kept; what both made the same is the same.
///
/// # Errors
/// The field that both changed, each to something else.
pub fn merge(
    base: &MachineRecord,
    ours: &MachineRecord,
    theirs: &MachineRecord,
) -> Result<MachineRecord, &'static str> {
    // Taken apart, so that a field that is added does not compile before it is decided how it is merged.
    let MachineRecord {
        name,
        uid,
        fleet,
        driver,
        place,
        options,
        depends_on,
        protect,
        instance,
        certificate,
        engine,
        pending,
        hooks,
    } = ours;
    if ours == base {
        return Ok(theirs.clone());
    }
    // Another instance under this name has nothing in common with what was read but the name.
    if theirs.uid != base.uid && theirs.uid != *uid {
        return Err("uid");
    }
    Ok(MachineRecord {
        name: name.clone(),
        uid: one("uid", &base.uid, uid, &theirs.uid)?,
        fleet: one("fleet", &base.fleet, fleet, &theirs.fleet)?,
        driver: one("driver", &base.driver, driver, &theirs.driver)?,
        place: one("place", &base.place, place, &theirs.place)?,
        options: each("options", &base.options, options, &theirs.options)?,
        depends_on: set(&base.depends_on, depends_on, &theirs.depends_on),
        protect: one("protection", &base.protect, protect, &theirs.protect)?,
        instance: instances(base.instance.as_ref(), instance.as_ref(), theirs.instance.as_ref())?,
        certificate: one("certificate", &base.certificate, certificate, &theirs.certificate)?,
        engine: one("engine", &base.engine, engine, &theirs.engine)?,
        pending: each("pending change", &base.pending, pending, &theirs.pending)?,
        hooks: hook_records(&base.hooks, hooks, &theirs.hooks)?,
    })
}

/// A value that is one.
fn one<T: Clone + PartialEq>(field: &'static str, base: &T, ours: &T, theirs: &T) -> Result<T, &'static str> {
    match (ours == base, theirs == base) {
        (true, _) => Ok(theirs.clone()),
        (false, true) => Ok(ours.clone()),
        (false, false) if ours == theirs => Ok(ours.clone()),
        (false, false) => Err(field),
    }
}

/// Values by key; each is one.
fn each<K: Clone + Ord, V: Clone + PartialEq>(
    field: &'static str,
    base: &BTreeMap<K, V>,
    ours: &BTreeMap<K, V>,
    theirs: &BTreeMap<K, V>,
) -> Result<BTreeMap<K, V>, &'static str> {
    let keys: BTreeSet<&K> = base.keys().chain(ours.keys()).chain(theirs.keys()).collect();
    let mut merged = BTreeMap::new();
    for key in keys {
        let value = one(field, &base.get(key), &ours.get(key), &theirs.get(key))?;
        merged.extend(value.map(|value| (key.clone(), value.clone())));
    }
    Ok(merged)
}

/// What is in it or not: nothing can contradict.
fn set<T: Clone + Ord>(base: &BTreeSet<T>, ours: &BTreeSet<T>, theirs: &BTreeSet<T>) -> BTreeSet<T> {
    let all = base.iter().chain(ours).chain(theirs);
    let stays = |item: &&T| match (base.contains(item), ours.contains(item), theirs.contains(item)) {
        (true, ours, theirs) => ours && theirs,
        (false, ours, theirs) => ours || theirs,
    };
    all.filter(stays).cloned().collect()
}

/// Field by field while it is the same instance.
fn instances(
    base: Option<&Instance>,
    ours: Option<&Instance>,
    theirs: Option<&Instance>,
) -> Result<Option<Instance>, &'static str> {
    let (Some(base), Some(own), Some(other)) = (base, ours, theirs) else {
        return Ok(one("instance", &base, &ours, &theirs)?.cloned());
    };
    let Instance { id, address, ssh, url, host_keys, jump_keys } = own;
    Ok(Some(Instance {
        id: one("instance", &base.id, id, &other.id)?,
        address: one("address", &base.address, address, &other.address)?,
        ssh: one("login", &base.ssh, ssh, &other.ssh)?,
        url: one("URL", &base.url, url, &other.url)?,
        host_keys: one("host key", &base.host_keys, host_keys, &other.host_keys)?,
        jump_keys: one("key of its jump host", &base.jump_keys, jump_keys, &other.jump_keys)?,
    }))
}

fn hook_records(base: &HookRecord, ours: &HookRecord, theirs: &HookRecord) -> Result<HookRecord, &'static str> {
    let HookRecord { spec, pending } = ours;
    Ok(HookRecord {
        spec: one("hooks", &base.spec, spec, &theirs.spec)?,
        pending: one("hooks that are due", &base.pending, pending, &theirs.pending)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        properties::properties,
        record::{Part, Pending, any_record::record as any_record},
    };
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(properties(64))]
        /// The laws: where one changed nothing, the other's is it, and it is the same from both sides.
        #[test]
        fn who_changed_nothing_loses_nothing(base in any_record(), other in any_record()) {
            let other = MachineRecord { name: base.name.clone(), ..other };
            prop_assert_eq!(merge(&base, &base, &other), Ok(other.clone()));
            prop_assert_eq!(merge(&base, &other, &base), Ok(other.clone()));
            prop_assert_eq!(merge(&base, &other, &other), Ok(other.clone()));
        }

        #[test]
        fn two_who_change_different_things_both_get_them(base in any_record(), other in any_record()) {
            let mut ours = base.clone();
            ours.engine = other.engine.clone();
            ours.pending.remove(&Part::Engine);
            let mut theirs = base.clone();
            theirs.fleet = other.fleet.clone();
            theirs.protect = !base.protect;
            theirs.pending.insert(Part::Certificate, Pending::Upgrade);
            if let Some(instance) = &mut theirs.instance {
                instance.address.push('9');
            }
            let mut want = theirs.clone();
            want.engine = other.engine;
            want.pending.remove(&Part::Engine);
            prop_assert_eq!(merge(&base, &ours, &theirs), Ok(want.clone()));
            prop_assert_eq!(merge(&base, &theirs, &ours), Ok(want.clone()));
        }
    }

    #[test]
    fn what_both_changed_is_named() {
        let name = crate::name::MachineName::new("web").unwrap();
        let base = MachineRecord::new(name.clone(), None, "nspawn", BTreeMap::new());
        let fleet = |text: &str| Some(crate::name::FleetName::new(text).unwrap());
        let (mut ours, mut theirs) = (base.clone(), base.clone());
        (ours.fleet, theirs.fleet) = (fleet("shop"), fleet("other"));
        assert_eq!(merge(&base, &ours, &theirs), Err("fleet"));
        theirs.fleet = None;
        assert_eq!(merge(&base, &ours, &theirs).unwrap().fleet, fleet("shop"));
        // It was removed and made again meanwhile.
        theirs.uid = crate::record::Uid::of_random([7; 16]);
        assert_eq!(merge(&base, &ours, &theirs), Err("uid"));
    }
}
