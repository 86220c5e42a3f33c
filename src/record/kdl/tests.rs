use super::*;
use crate::record::{
    OptionValues,
    codec::{self, Unknown},
};
use serde_json::json;

/// All that a record could hold.
const WHOLE: &str = r#"// What `machine` knows about one machine. Written by the program; edit it only while nothing runs.
record 1
name "web-1"
fleet "shop"
driver "generic"
protect #true
depends-on "db" "gate"
options {
  address "10.0.0.5"
  size 9007199254740993
  share 0.5
  "a b" "\"\\\n\r\t\u{85}\u{202e}é"
  (list)tags {
    - "a"
    (map)- {
      b #null
    }
  }
  (list)plain "a" 1 #true -3
}
pending {
  engine "upgrade"
}
instance {
  id "10.0.0.5"
  address "10.0.0.5"
  url "tcp://10.0.0.5:2376"
  ssh {
    host "10.0.0.5"
    port 22
    user "root"
    key "/keys/id"
    (map)passphrase {
      env "PASS"
    }
    jump "gate"
  }
  host-key "ssh-ed25519 AAAA"
  jump-key "ssh-ed25519 BBBB"
}
certificate {
  sha256 "ab"
  ca-sha256 "cd"
  names "10.0.0.5" "web-1"
  not-after "2027-01-15T08:00:00Z"
}
engine {
  version "28.2.2"
  provisioner "debian"
  os "Debian GNU/Linux 13"
  spec {
    version "28"
    source "distro"
    mirror "https://mirror"
    install-url "https://get"
    api "tls"
    port 2376
    open-firewall #true
    labels {
      tier "front"
    }
    registry-mirrors "a" "b"
    insecure-registries "c"
    env {
      PLAIN "x"
      (map)TOKEN {
        file "/t"
      }
    }
    daemon {
      (map)log-opts {
        max-size "10m"
      }
    }
  }
}
hooks {
  hook {
    point "post-create"
    name "note"
    run "echo"
    on "local"
    timeout 300
  }
  hook {
    point "pre-rm"
    name "drain"
    program "drain" "-a"
    on "host"
    timeout 60
  }
  due "pre-rm" "drain"
}
config-json {
  sha256 "ef"
  replaces "01"
}
"#;

/// The same as this version writes it, without options.
const WHOLE_JSON: &str = r#"{
  "record": 2,
  "name": "web-1",
  "uid": "b76bf016ca878ccfe3dbd6e46f7b9c65",
  "fleet": "shop",
  "driver": "generic",
  "place": null,
  "protect": true,
  "depends-on": [
    "db",
    "gate"
  ],
  "options": {},
  "pending": {
    "engine": "upgrade"
  },
  "instance": {
    "id": "10.0.0.5",
    "address": "10.0.0.5",
    "ssh": {
      "host": "10.0.0.5",
      "port": 22,
      "user": "root",
      "key": "/keys/id",
      "passphrase": {
        "env": "PASS"
      },
      "jump": "gate"
    },
    "url": "tcp://10.0.0.5:2376",
    "host-keys": [
      "ssh-ed25519 AAAA"
    ],
    "jump-keys": [
      "ssh-ed25519 BBBB"
    ]
  },
  "certificate": {
    "sha256": "ab",
    "ca-sha256": "cd",
    "names": [
      "10.0.0.5",
      "web-1"
    ],
    "not-after": "2027-01-15T08:00:00Z"
  },
  "engine": {
    "spec": {
      "version": "28",
      "source": "distro",
      "mirror": "https://mirror",
      "install-url": "https://get",
      "api": "tls",
      "port": 2376,
      "labels": {
        "tier": "front"
      },
      "registry-mirrors": [
        "a",
        "b"
      ],
      "insecure-registries": [
        "c"
      ],
      "env": {
        "PLAIN": "x",
        "TOKEN": {
          "file": "/t"
        }
      },
      "daemon": {
        "log-opts": {
          "max-size": "10m"
        }
      },
      "open-firewall": true
    },
    "version": "28.2.2",
    "provisioner": "debian",
    "os": "Debian GNU/Linux 13"
  },
  "hooks": {
    "spec": {
      "pre-rm": [
        {
          "name": "drain",
          "run": {
            "program": [
              "drain",
              "-a"
            ]
          },
          "on": "host",
          "timeout": 60
        }
      ],
      "post-create": [
        {
          "name": "note",
          "run": {
            "shell": "echo"
          },
          "on": "local",
          "timeout": 300
        }
      ]
    },
    "pending": [
      [
        "pre-rm",
        "drain"
      ]
    ]
  }
}
"#;

macro_rules! earlier {
    ($($path:literal)*) => { [WHOLE, $(include_str!(concat!("../../../tests/earlier/records-in-kdl/stores/", $path, "/record.kdl")),)*] };
}

/// Records as earlier versions wrote them.
pub(super) const SAMPLES: [&str; 6] = earlier!(
    "fleet/machines/web-1" "fleet/machines/db" "fleet/machines/far" "adopted/machines/theirs" "half-made/machines/one-1"
);

#[test]
fn all_that_a_record_could_hold_is_read() {
    let Document { record, beside } = decode(WHOLE).unwrap();
    assert_eq!((beside.config.as_deref(), beside.replaces.as_deref(), beside.kdl), (Some("ef"), Some("01"), None));
    assert_eq!(record.uid, Uid::derived(&record.name, "generic", record.instance.as_ref()));
    assert_eq!(record.options["size"], json!(9_007_199_254_740_993_u64));
    assert_eq!(record.options["a b"], "\"\\\n\r\t\u{85}\u{202e}é");
    let record = MachineRecord { options: OptionValues::new(), ..record };
    assert_eq!(codec::encode(&record, &Beside::default(), &Unknown::default()), WHOLE_JSON);
}

#[test]
fn all_that_was_written_reads_the_same_as_json() {
    for text in SAMPLES {
        let Document { record, beside } = decode(text).unwrap();
        let json = codec::encode(&record, &beside, &Unknown::default());
        assert_eq!(codec::decode(&json), Ok(Document { record, beside }));
    }
}

#[test]
fn the_stub_is_none_and_is_known() {
    assert!(is_stub(STUB.as_bytes()));
    assert!(is_stub(b"record 3\n"));
    assert_eq!(
        decode(STUB).unwrap_err().to_string(),
        "line 1, column 1: the record is of format 2, this program reads up to 1"
    );
    for text in SAMPLES {
        assert!(!is_stub(text.as_bytes()));
        assert!(text.len() > STUB.len() + 100, "its length tells it from a record");
    }
    for none in ["", "record 1\n", "record 2\nname \"a\"\n", "name \"a\"\n"] {
        assert!(!is_stub(none.as_bytes()), "{none}");
    }
}

#[track_caller]
fn refused(text: &str, why: &str) {
    assert_eq!(decode(text).unwrap_err().to_string(), why);
}

#[test]
fn errors_name_the_place() {
    refused("", "line 1, column 1: `record` is missing");
    refused("record 1\nname \"a\"\n", "line 1, column 1: `driver` is missing");
    refused("record 2\nname \"a\"\n", "line 1, column 1: the record is of format 2, this program reads up to 1");
    refused("record 1\n// é\n  name \"../x\"", "line 3, column 3: `../x` contains `/`; allowed are 0-9 a-z A-Z . -");
    refused("record 1\nname \"a\"; name \"b\"", "line 2, column 11: `name` is there twice");
    refused("record 1\nprotect 1", "line 2, column 1: `protect` must be #true or #false");
    refused("record 1\ninstance {\n  id \"x\"\n}", "line 2, column 1: `instance` lacks `address`");
    refused(
        "record 1\npending {\n  hull \"rm\"\n}",
        "line 3, column 3: unknown variant `hull`, expected one of `remains`, `instance`, `certificate`, `engine`",
    );
    let error = decode(&WHOLE[..WHOLE.len() / 2]).unwrap_err();
    assert!(error.line > 1, "{error}");
}

#[test]
fn a_text_cut_anywhere_is_refused_or_lacks_only_its_end() {
    for end in (0..WHOLE.len()).filter(|end| WHOLE.is_char_boundary(*end)).step_by(7) {
        // Must not panic; what still parses must at least be of this machine.
        if let Ok(document) = decode(&WHOLE[..end]) {
            assert_eq!(document.record.name.as_str(), "web-1");
        }
    }
}
