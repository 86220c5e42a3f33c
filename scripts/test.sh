#!/bin/sh
# All tests, the lab on real hosts included. Installs what they need. As root; without it the lab is SKIPPED.
# Words are given to each program's harness: `sh scripts/test.sh NAME`, `sh scripts/test.sh --list`.
set -eu
cd "$(dirname "$0")/.."
. scripts/part.sh
sh scripts/setup.sh tests
if cargo nextest --version >/dev/null 2>&1; then
    part tests cargo nextest run --locked "$@"
    exit
fi
part build cargo test --locked --no-run
# One program after the other, for those of `crash` count what happens in a time. What fails does not hide the rest.
ended=0
part lib cargo test --locked --lib --bins -- "$@" || ended=$?
part it cargo test --locked --test it -- "$@" || ended=$?
# These mostly wait: more of them at once than there are processors.
part lab env "RUST_TEST_THREADS=${MACHINE_LAB_THREADS:-6}" cargo test --locked --test lab -- "$@" || ended=$?
part crash cargo test --locked --test crash -- "$@" || ended=$?
exit "$ended"
