//! The document docker-machine writes for a new machine.

use super::{Object, Place, VERSION};
use serde_json::{Value, json};

/// A whole document at version 3, every key in docker-machine's order, with the values of its command line.
pub(super) fn template(place: Place<'_>) -> Object {
    let document = json!({
        "ConfigVersion": VERSION,
        "Driver": {
            "IPAddress": "",
            "MachineName": place.name.as_str(),
            "SSHUser": "",
            "SSHPort": 0,
            "SSHKeyPath": "",
            "StorePath": place.root,
            "SwarmMaster": false,
            "SwarmHost": "",
            "SwarmDiscovery": "",
        },
        "DriverName": "",
        "HostOptions": {
            "Driver": "",
            "Memory": 0,
            "Disk": 0,
            "EngineOptions": {
                "ArbitraryFlags": [],
                "Dns": null,
                "GraphDir": "",
                "Env": [],
                "Ipv6": false,
                "InsecureRegistry": [],
                "Labels": [],
                "LogLevel": "",
                "StorageDriver": "",
                "SelinuxEnabled": false,
                "TlsVerify": true,
                "RegistryMirror": [],
                "InstallURL": "https://get.docker.com",
            },
            "SwarmOptions": {
                "IsSwarm": false,
                "Address": "",
                "Discovery": "",
                "Agent": false,
                "Master": false,
                "Host": "tcp://0.0.0.0:3376",
                "Image": "swarm:latest",
                "Strategy": "spread",
                "Heartbeat": 0,
                "Overcommit": 0,
                "ArbitraryFlags": [],
                "ArbitraryJoinFlags": [],
                "Env": null,
                "IsExperimental": false,
            },
            "AuthOptions": {
                "CertDir": format!("{}/certs", place.root),
                "CaCertPath": place.certs("ca.pem"),
                "CaPrivateKeyPath": place.certs("ca-key.pem"),
                "CaCertRemotePath": "",
                "ServerCertPath": place.machine("server.pem"),
                "ServerKeyPath": place.machine("server-key.pem"),
                "ClientKeyPath": place.certs("key.pem"),
                "ServerCertRemotePath": "",
                "ServerKeyRemotePath": "",
                "ClientCertPath": place.certs("cert.pem"),
                "ServerCertSANs": [],
                "StorePath": place.dir(),
            },
        },
        "Name": place.name.as_str(),
    });
    match document {
        Value::Object(document) => document,
        _ => unreachable!("the template is an object"),
    }
}

/// A document of the last version with the keys that an older docker-machine did not write yet, in the order of the
/// newest, and nothing in them. What it does not know comes last.
pub(crate) fn completed(document: &Value, place: Place<'_>) -> Value {
    let mut whole = template(place);
    if let Some(Value::Object(driver)) = whole.get_mut("Driver") {
        match document["DriverName"].as_str() {
            Some("none") => driver.extend([("URL".to_owned(), json!(""))]),
            Some("generic") => driver.extend([("EnginePort".to_owned(), json!(0)), ("SSHKey".to_owned(), json!(""))]),
            // The keys are those of its author.
            _ => driver.clear(),
        }
    }
    let mut completed = over(&Value::Object(whole), document);
    // The one default that is not nothing.
    if document["DriverName"] == "generic" && document["Driver"]["EnginePort"].is_null() {
        completed["Driver"]["EnginePort"] = json!(2376);
    }
    completed
}

fn over(whole: &Value, found: &Value) -> Value {
    let (Value::Object(whole), Value::Object(found)) = (whole, found) else { return found.clone() };
    let known = whole.iter().map(|(key, value)| {
        let value = found.get(key).map_or_else(|| nothing(value), |found| over(value, found));
        (key.clone(), value)
    });
    let further = found.iter().filter(|(key, _)| !whole.contains_key(*key));
    Value::Object(known.chain(further.map(|(key, value)| (key.clone(), value.clone()))).collect())
}

/// What Go has where nothing was read.
fn nothing(of: &Value) -> Value {
    match of {
        Value::Bool(_) => json!(false),
        Value::Number(_) => json!(0),
        Value::String(_) => json!(""),
        Value::Null | Value::Array(_) | Value::Object(_) => Value::Null,
    }
}
