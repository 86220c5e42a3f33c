#!/bin/sh
# All tests, the lab on real hosts included. Installs what they need. As root; without it the lab is SKIPPED.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh tests
exec cargo test --locked --no-fail-fast "$@"
