//! Paths into a machine's own folder, as its record has them: `./id_ed25519`. So a store that was moved or copied is
//! whole where it is now.
//!
//! What begins with `./` and is none of these is written with another `./` before it, so that every text comes back as
//! it was.

use super::MachineRecord;
use crate::secret::Secret;
use serde_json::Value;

/// What is in this folder, as a record has it.
const HERE: &str = "./";

/// The record as it is written into `dir`, its machine's folder.
#[must_use]
pub fn written(record: &MachineRecord, dir: &str) -> MachineRecord {
    let mut record = record.clone();
    each(&mut record, &|path| leaving(path, dir));
    record
}

/// The record as it was before [`written`], if `dir` is the folder it lies in now.
pub fn read(record: &mut MachineRecord, dir: &str) {
    each(record, &|path| arriving(path, dir));
}

/// Points paths into a store that was moved to where it is now. Records that name the root of their store need this.
pub fn moved(record: &mut MachineRecord, from: &str, to: &str) {
    each(record, &|path| {
        let inside = path.strip_prefix(from)?;
        (inside.starts_with("/machines/") || inside.starts_with("/certs/")).then(|| format!("{to}{inside}"))
    });
}

/// Whether a path is of a machine's folder in a store whose root is another.
#[must_use]
pub fn is_elsewhere(record: &MachineRecord, dir: &str) -> bool {
    let inside = format!("/machines/{}/", record.name);
    let mut found = false;
    let key = record.instance.iter().filter_map(|instance| instance.ssh.as_ref()?.key.as_deref());
    let options = record.options.values().filter_map(Value::as_str);
    for path in key.chain(options) {
        found |= path.starts_with('/') && path.contains(&inside) && relative(path, dir).is_none();
    }
    found
}

fn leaving(path: &str, dir: &str) -> Option<String> {
    match relative(path, dir) {
        Some(file) => Some(format!("{HERE}{file}")),
        None => path.starts_with(HERE).then(|| format!("{HERE}{path}")),
    }
}

fn arriving(path: &str, dir: &str) -> Option<String> {
    let rest = path.strip_prefix(HERE)?;
    if rest.starts_with(HERE) {
        return Some(rest.to_owned());
    }
    is_plain(rest).then(|| format!("{dir}/{rest}"))
}

/// What of a path is below a folder, unless it could lead out of it again.
fn relative<'p>(path: &'p str, dir: &str) -> Option<&'p str> {
    path.strip_prefix(dir)?.strip_prefix('/').filter(|rest| is_plain(rest))
}

fn is_plain(path: &str) -> bool {
    path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// Goes through all texts of a record that may be paths. Which options are paths is known to drivers only, and to those
/// of this version; so any value of an option may be one.
fn each(record: &mut MachineRecord, change: &dyn Fn(&str) -> Option<String>) {
    if let Some(ssh) = record.instance.as_mut().and_then(|instance| instance.ssh.as_mut()) {
        if let Some(key) = &mut ssh.key {
            replace(key, change);
        }
        if let Some(Secret::File(path)) = &mut ssh.passphrase {
            replace(path, change);
        }
    }
    record.options.values_mut().for_each(|value| each_inside(value, change));
}

fn each_inside(value: &mut Value, change: &dyn Fn(&str) -> Option<String>) {
    match value {
        Value::String(text) => replace(text, change),
        Value::Array(items) => items.iter_mut().for_each(|item| each_inside(item, change)),
        Value::Object(entries) => entries.values_mut().for_each(|value| each_inside(value, change)),
        _ => {}
    }
}

fn replace(text: &mut String, change: &dyn Fn(&str) -> Option<String>) {
    if let Some(new) = change(text) {
        *text = new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        name::MachineName,
        properties::properties,
        record::{OptionValues, any_record::record as any_record},
    };
    use proptest::prelude::*;
    use serde_json::json;

    const DIR: &str = "/store/machines/web";

    fn with(option: &Value) -> MachineRecord {
        let options = OptionValues::from([("ssh-key".to_owned(), option.clone())]);
        MachineRecord::new(MachineName::new("web").unwrap(), None, "generic", options)
    }

    #[track_caller]
    fn is_written(option: &Value, want: &Value, elsewhere: &Value) {
        let record = with(option);
        let mut there = written(&record, DIR);
        assert_eq!(&there.options["ssh-key"], want);
        let mut moved = there.clone();
        read(&mut there, DIR);
        assert_eq!(there, record);
        read(&mut moved, "/new/machines/web");
        assert_eq!(&moved.options["ssh-key"], elsewhere);
    }

    #[test]
    fn what_lies_in_the_folder_moves_with_it_and_nothing_else_does() {
        is_written(&json!("/store/machines/web/id"), &json!("./id"), &json!("/new/machines/web/id"));
        is_written(&json!(["/store/machines/web/a/b"]), &json!(["./a/b"]), &json!(["/new/machines/web/a/b"]));
        is_written(
            &json!({ "file": "/store/machines/web/t" }),
            &json!({ "file": "./t" }),
            &json!({ "file": "/new/machines/web/t" }),
        );
        for same in [
            "/home/u/.ssh/id",
            "~/.ssh/id",
            "id",
            "/store/machines/web",
            "/store/machines/web-2/id",
            "/store/machines/web/../x",
            "/store/machines/web//x",
            "",
        ] {
            is_written(&json!(same), &json!(same), &json!(same));
        }
        for (given, want) in [("./id", "././id"), ("././id", "./././id"), ("./", "././"), ("./..", "././..")] {
            is_written(&json!(given), &json!(want), &json!(given));
        }
    }

    #[test]
    fn what_named_the_old_root_names_the_new_one() {
        let mut record = with(&json!("/old/machines/web/id"));
        assert!(is_elsewhere(&record, DIR));
        moved(&mut record, "/old", "/store");
        assert_eq!(record.options["ssh-key"], "/store/machines/web/id");
        assert!(!is_elsewhere(&record, DIR));
        moved(&mut record, "/sto", "/x");
        assert_eq!(record.options["ssh-key"], "/store/machines/web/id");
    }

    proptest! {
        #![proptest_config(properties(64))]
        /// The law: what is written is read back, whatever texts there are.
        #[test]
        fn a_record_comes_back(record in any_record(), dir in "(/[a-z.]{1,3}){0,2}") {
            let mut there = written(&record, &dir);
            read(&mut there, &dir);
            prop_assert_eq!(there, record);
        }
    }
}
