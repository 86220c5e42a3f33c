#!/bin/sh
# From a fresh Debian-like machine to three Docker hosts: installs what is missing, builds, applies.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
cargo build --release --locked
PATH="$PWD/target/release:$PATH"
# To run this is to have said yes.
exec machine apply --yes examples/fleets/quickstart.yaml "$@"
