#!/bin/sh
# Writes what a build of the program leaves behind: stores, archives, saved plans and JSON output, for the tests of
# programs that come after it. Run once for each format, on a Debian-like machine as root, with what the lab needs:
#   sh tests/earlier/make.sh PROGRAM tests/earlier/FORMAT
# Everything is made in a folder that is no user's home, so that the paths in it say nothing of a computer.
set -eu
program=$(realpath "$1")
mkdir -p "$2"
out=$(realpath "$2")
stores=$(realpath "$(dirname "$0")/../stores")
base=/srv/earlier
[ ! -e "$base" ] || { echo "$base is in the way" >&2; exit 1; }
mkdir -p "$base/home/.ssh" "$base/bin"
chmod 700 "$base/home/.ssh"
ln -s "$program" "$base/bin/machine"
ln -s "$program" "$base/bin/docker-machine"
cd "$base"
images=${MACHINE_NSPAWN_IMAGES:-/var/lib/machine/nspawn/images}

# The program in a store, with nothing of this computer's environment: `in STORE machine ls`.
in_store() {
    store=$1
    shift
    env -i PATH="$base/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" HOME="$base/home" USER=me \
        SHOP_TOKEN=not-a-real-token MACHINE_STORAGE_PATH="$base/$store" MACHINE_NSPAWN_DIR="$base/nspawn" \
        MACHINE_NSPAWN_IMAGES="$images" "$@" </dev/null
}

# Keeps a store as it is now. What cannot be committed (sockets) is not in it.
keep() {
    mkdir -p "$out/stores"
    cp -a "$base/$1" "$out/stores/$2"
}

# Runs it and keeps its standard output; the code may be any, and is kept as well.
json() {
    name=$1
    shift
    mkdir -p "$out/json"
    code=0
    in_store "$@" >"$out/json/$name" 2>/dev/null || code=$?
    echo "$name $code" >>"$out/json/codes"
}

clean() {
    # It takes protection away again.
    in_store fleet machine apply --yes shop.yaml >/dev/null 2>&1 || true
    for store in fleet half half-lock host adopted stones; do
        in_store "$store" machine ls -q 2>/dev/null | while read -r name; do
            in_store "$store" machine rm -f "$name" >/dev/null 2>&1 || true
        done
    done
    rm -rf "$base"
}
trap clean EXIT

cat >shop.yaml <<'FLEET'
fleet: shop
vars: { tier: front }
drivers:
  lab: { driver: nspawn, image: debian-12 }
defaults:
  driver: lab
  engine:
    source: distro
    labels: { tier: "${var.tier}" }
hosts:
  db:
    tls-names: [db.example.org]
    hooks:
      post-create: [{ name: note, run: 'echo "$MACHINE_NAME" >> hooks.log' }]
  web:
    count: 2
    depends_on: [db]
    engine:
      daemon: { log-driver: json-file, log-opts: { max-size: 10m } }
      env: { TOKEN: { env: SHOP_TOKEN }, HTTP_PROXY: "http://proxy.example.org:3128" }
  far: { driver: none, url: "tcp://192.0.2.20:2375", optional: true }
policy: { parallel: 4, on_error: stop-dependants, max_unavailable: 1 }
FLEET
sed 's/debian-12/debian-99/' shop.yaml >wrong.yaml
sed 's/tls-names: \[db.example.org\]/protect: true/; s/max-size: 10m/max-size: 20m/' shop.yaml >changed.yaml
sed '/^  web:/,/^  far:/{/^  far:/!d}' shop.yaml >fewer.yaml
sed 's/image: debian-12/image: debian-12, memory: 1GiB/' shop.yaml >bigger.yaml
printf 'hosts:\n  extra: { driver: none, url: "tcp://192.0.2.21:2375" }\n' >over.yaml
printf 'tier: back\n' >vars.yaml

# Saved plans, and plans as JSON, of every kind of change.
mkdir -p "$out/plans"
save() {
    name=$1
    shift
    in_store fleet machine plan --out "$out/plans/$name.json" "$@" >/dev/null
    json "plan-$name.json" fleet machine plan --json "$@"
}
save create shop.yaml
json validate-wrong.json fleet machine validate --json wrong.yaml
json validate.json fleet machine validate --json shop.yaml

# A fleet, made; with a history of a failure, a refusal and changes.
in_store fleet machine apply --yes wrong.yaml >/dev/null 2>&1 || true
json apply-create.json fleet machine apply --yes --json shop.yaml
save keep shop.yaml
save update changed.yaml
save replace --var tier=front bigger.yaml
save delete --prune fewer.yaml
save overlay -f shop.yaml -f over.yaml --var-file vars.yaml
json apply-refused.json fleet machine apply --yes --json --prune fewer.yaml
json apply-update.json fleet machine apply --yes --json changed.yaml
json apply-keep.json fleet machine apply --yes --json changed.yaml
in_store fleet machine stop web-2 >/dev/null
json plan-drift.json fleet machine plan --json changed.yaml
json drift.json fleet machine drift --json changed.yaml
json drift-all.json fleet machine drift --json --all changed.yaml
json diff.txt fleet machine diff shop.yaml
json graph.dot fleet machine graph shop.yaml
json ls.json fleet machine ls --json
json inspect-db.json fleet machine inspect --json db
json inspect-db-docker-machine.json fleet docker-machine inspect db
json inspect-far.json fleet machine inspect --json far
json history.json fleet machine history --json
json lock-ls.json fleet machine lock ls --json
json drivers.json fleet machine drivers --json
json driver-nspawn.json fleet machine drivers --json nspawn
json version.txt fleet machine --version
in_store fleet machine start web-2 >/dev/null
keep fleet fleet

# Archives of it.
mkdir -p "$out/archives"
printf 'correct horse battery staple\n' >passphrase
chmod 600 passphrase
age-keygen -o identity.txt 2>/dev/null
recipient=$(sed -n 's/^# public key: //p' identity.txt)
in_store fleet machine export --plain db >"$out/archives/plain.json"
in_store fleet machine export --plain --with-ca db web-1 >"$out/archives/plain-with-ca.json"
in_store fleet machine export --plain db far web-2 >"$out/archives/several.json"
in_store fleet machine export --passphrase-file passphrase db >"$out/archives/passphrase.age"
in_store fleet machine export --recipient "$recipient" web-1 >"$out/archives/recipient.age"
cp passphrase identity.txt "$out/archives/"

# A host that exists already: a machine of driver generic, which a fleet then adopts; and docker-machine's own.
cat >host.yaml <<'FLEET'
fleet: host
hosts: { theirs: { driver: nspawn, image: debian-12, engine: { api: ssh, source: distro } } }
FLEET
in_store host machine apply --yes host.yaml >/dev/null
address=$(in_store host machine ip theirs)
cp host/machines/theirs/id_ed25519 home/.ssh/id_ed25519
in_store adopted docker-machine create -d generic --generic-ip-address "$address" \
    --generic-ssh-key "$base/home/.ssh/id_ed25519" --engine-label by=hand theirs >/dev/null
in_store adopted machine create -d none --url tcp://192.0.2.30:2376 --swarm --swarm-master \
    --swarm-discovery token://0123 --tls-san extra.example.org far >/dev/null 2>&1
cp -r "$stores/v3/machines/." adopted/machines/
in_store adopted machine adopt --fleet office theirs >/dev/null
json ls-adopted.json adopted machine ls --json
json inspect-adopted.json adopted machine inspect --json theirs
keep adopted adopted

# Half made: killed while an engine is being installed. Its locks are those of a run that is gone.
cat >half.yaml <<'FLEET'
fleet: half
hosts: { one: { driver: nspawn, image: debian-12, count: 2, engine: { source: distro } } }
FLEET
in_store half setsid machine apply --yes --json half.yaml >half.log 2>&1 &
run=$!
until grep -q '"install ' half.log; do kill -0 "$run"; sleep 0.05; done
kill -9 -- "-$(pgrep -f "$base/bin/machine apply --yes --json half.yaml" | head -n 1)" 2>/dev/null \
    || pkill -9 -f 'machine apply --yes --json half.yaml'
wait "$run" 2>/dev/null || true
keep half half-made
json plan-half.json half machine plan --json half.yaml
json lock-ls-half.json half machine lock ls --json
in_store half machine destroy --yes --allow-delete 2 half.yaml >/dev/null

# Locks that are held: by a run that waits in a hook. The process is none that lives when they are read.
cat >held.yaml <<'FLEET'
fleet: held
hosts:
  far: { driver: none, url: "tcp://192.0.2.20:2375", hooks: { pre-create: [{ name: wait, run: 'touch waiting; sleep 600' }] } }
FLEET
in_store half-lock setsid machine apply --yes held.yaml >/dev/null 2>&1 &
run=$!
until [ -e waiting ]; do kill -0 "$run"; sleep 0.05; done
keep half-lock locked
json lock-ls-held.json half-lock machine lock ls --json
pkill -INT -f 'machine apply --yes held.yaml' || true
pkill -f 'sleep 600' || true
wait "$run" 2>/dev/null || true

# Tombstones: a removal that no driver could confirm, here because the program does not have the machine's.
cat >stones.yaml <<'FLEET'
fleet: stones
hosts: { far: { driver: none, url: "tcp://192.0.2.20:2375" } }
FLEET
in_store stones machine apply --yes stones.yaml >/dev/null
cp -r "$stores/v3/machines/kvm" stones/machines/
in_store stones machine rm -f kvm >/dev/null 2>&1 || true
[ -d stones/tombstones ] || { echo "no tombstone was left" >&2; exit 1; }
json ls-tombstones.json stones machine ls --tombstones --json
keep stones tombstones

chmod -R u+rwX "$out"
cp shop.yaml changed.yaml fewer.yaml bigger.yaml over.yaml vars.yaml "$out/plans/"
cp half.yaml held.yaml stones.yaml "$out/stores/"
echo "kept in $out"
