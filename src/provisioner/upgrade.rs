//! The newest engine that the package source of a host has, by apt.

use super::{Facts, Op, Script, Unsupported, systemd};
use crate::{engine::EngineSpec, quote::Sh};

/// Packages of an engine, and those that go with each: the clients, which have its version, and the rest.
const FAMILIES: &[(&str, &str, &str)] = &[
    (
        "docker-ce",
        "docker-ce-cli",
        "containerd.io docker-ce-rootless-extras docker-buildx-plugin docker-compose-plugin",
    ),
    ("docker.io", "docker-cli", "containerd runc"),
    ("moby-engine", "moby-cli", "moby-containerd moby-runc moby-buildx moby-compose"),
    ("docker-engine", "", ""),
];

/// What is to be upgraded, as positional parameters; the script ends here when there is nothing.
const FIND: &str = "package={}
client={}
others={}
pin={}
where={}
installed() { dpkg-query -W -f '${db:Status-Abbrev} ${Version}' \"$1\" 2>/dev/null | sed -n 's/^.i[^ ]* *//p'; }
newest() { apt-cache policy \"$1\" 2>/dev/null | sed -n -e '/(none)/d' -e 's/^ *Candidate: //p'; }
upstream() { version=${1#*:}; printf %s \"${version%-*}\" | tr '~' -; }
newer() { dpkg --compare-versions \"$1\" gt \"$2\"; }
before=$(installed \"$package\")
apt_update
wanted=$(newest \"$package\")
if [ -n \"$pin\" ]; then wanted=$(apt_pinned \"$package\" \"$pin\" \"$where\"); fi
set --
names=
for name in $package $client $others; do
    found=$(installed \"$name\")
    if [ -z \"$found\" ]; then continue; fi
    candidate=$(newest \"$name\")
    case $name in \"$package\" | \"$client\")
        # Both are made together; one that has no such version has one that fits.
        if apt_versions \"$name\" | grep -qxF -e \"$wanted\"; then candidate=$wanted; fi ;;
    esac
    if [ -z \"$candidate\" ] || ! newer \"$candidate\" \"$found\"; then continue; fi
    set -- \"$@\" \"$name=$candidate\"
    names=\"$names $name\"
done
if [ $# -eq 0 ]; then
    note \"$package $(upstream \"$before\") is the newest${pin:+ $pin} there is\"
    exit 0
fi
held=$(apt-mark showhold $names | tr '\\n' ' ')
if [ -n \"$held\" ]; then
    echo \"held back on the host: ${held% }; to let it go: apt-mark unhold ${held% }\" >&2
    exit 1
fi";

const UPGRADE: &str = "note \"upgrading$names\"
pid() { systemctl show -p MainPID \"$1\" 2>/dev/null || :; }
engine=$(pid docker.service)
runtime=$(pid containerd.service)
apt_get install --no-install-recommends --no-remove --only-upgrade \"$@\"
# Packages restart what they bring, or leave it to others; twice would disturb for nothing.
case \" $names \" in *' containerd '* | *' containerd.io '* | *' moby-containerd '*)
    if [ \"$runtime\" = \"$(pid containerd.service)\" ]; then systemctl try-restart containerd.service; fi ;;
esac
after=$(installed \"$package\")
waited=0
while [ $waited -lt 300 ] && systemctl show -p ActiveState docker.service | grep -q =activating; do
    sleep 1
    waited=$((waited + 1))
done
if [ \"$before\" != \"$after\" ] && [ \"$engine\" = \"$(pid docker.service)\" ]; then engine_restart; else engine_start; fi
if [ \"$before\" = \"$after\" ]; then
    note \"$package $(upstream \"$after\") is the newest${pin:+ $pin} there is; upgraded:$names\"
else
    note \"$package $(upstream \"$before\") was upgraded to $(upstream \"$after\")\"
fi";

/// `where_` is the host's system, for people. What must be so for any script is the caller's to check.
pub(super) fn script(facts: &Facts, want: &EngineSpec, where_: &str) -> Result<Script, Unsupported> {
    let Some((package, client, others)) = FAMILIES.iter().find(|(name, ..)| facts.packages.contains_key(*name)) else {
        return Err(match &facts.dockerd {
            None => Unsupported {
                what: "there is no engine to upgrade".to_owned(),
                help: "provision the machine, which installs one".to_owned(),
            },
            Some(path) => Unsupported {
                what: format!("{path} is of no package, so nothing knows a newer one"),
                help: "upgrade it the way it was installed, or remove it, so that it can be installed from packages"
                    .to_owned(),
            },
        });
    };
    // What upstream writes with a hyphen is compared with a hyphen.
    let pin = want.version.as_ref().map(|pin| pin.as_str().replace('~', "-")).unwrap_or_default();
    let mut run = Sh::text(include_str!("apt.sh").trim_ascii_end())
        .then(&Sh::template(FIND, &[package, client, others, &pin, where_]));
    if let Some(spare) = systemd::spare_containers(facts, want) {
        run = run.then(&spare.run);
    }
    Ok(Script(vec![Op::new(format!("upgrade {package}"), run.then(&Sh::text(UPGRADE)))]))
}
