#!/bin/sh
# All tests, the lab on real hosts included. Installs what they need. As root; without it the lab is SKIPPED.
# With cargo-nextest several test programs run at once, which takes two thirds of the time.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh tests
if cargo nextest --version >/dev/null 2>&1; then
    exec cargo nextest run --locked "$@"
fi
exec cargo test --locked --no-fail-fast "$@"
