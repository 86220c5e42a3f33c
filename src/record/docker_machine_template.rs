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
