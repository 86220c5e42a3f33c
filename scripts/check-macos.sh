#!/bin/sh
# Checks the types of the whole program for macOS, on any computer. Nothing is linked, so nothing of Apple's is needed:
# a C compiler that makes empty objects stands in for the parts of dependencies that are C.
set -eu
cd "$(dirname "$0")/.."
target=${1:-aarch64-apple-darwin}
rustup target add "$target"
empty=$(mktemp -d)
trap 'rm -rf "$empty"' EXIT
cat >"$empty/cc" <<'C'
#!/bin/sh
for word; do
    case "$before" in -o) : >"$word" ;; esac
    case "$word" in -E) exec gcc "$@" ;; -o?*) : >"${word#-o}" ;; *.a) : >"$word" ;; esac
    before=$word
done
C
chmod +x "$empty/cc"
of=$(echo "$target" | tr - _)
env "CC_$of=$empty/cc" "CXX_$of=$empty/cc" "AR_$of=$empty/cc" cargo check --locked --bin machine --target "$target"
