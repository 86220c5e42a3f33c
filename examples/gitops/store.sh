#!/bin/sh
# The store of `machine` for runners that forget everything: encrypted in a branch of its own.
#   store.sh restore    before anything else
#   store.sh save       after `apply`, always, also when it failed
# MACHINE_STORAGE_PATH  where the store is; must not be below the checkout
# STORE_IDENTITY        secret: a key of `age-keygen`, as text
# STORE_BRANCH          where it is kept; `machine-store` unless set
#
# A save is refused when another run saved since: two runs cannot both believe that they had the store.
set -eu

branch=${STORE_BRANCH:-machine-store}
remote=${STORE_REMOTE:-origin}
note=$MACHINE_STORAGE_PATH.restored
umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
printf '%s\n' "$STORE_IDENTITY" > "$work/identity"

case ${1-} in
restore)
    found=$(git ls-remote "$remote" "refs/heads/$branch" | cut -f 1)
    rm -rf "$MACHINE_STORAGE_PATH"
    mkdir -p "$MACHINE_STORAGE_PATH"
    if [ -n "$found" ]; then
        git fetch --quiet --depth 1 "$remote" "$found"
        git show "$found:store.tar.age" > "$work/store.tar.age"
        age --decrypt --identity "$work/identity" --output "$work/store.tar" "$work/store.tar.age"
        tar -xpf "$work/store.tar" -C "$MACHINE_STORAGE_PATH"
    fi
    printf '%s\n' "$found" > "$note"
    ;;
save)
    parent=$(cat "$note")
    tar -cf "$work/store.tar" -C "$MACHINE_STORAGE_PATH" .
    age-keygen -y "$work/identity" > "$work/recipient"
    age --encrypt --recipients-file "$work/recipient" --output "$work/store.tar.age" "$work/store.tar"
    blob=$(git hash-object -w "$work/store.tar.age")
    tree=$(printf '100600 blob %s\tstore.tar.age\n' "$blob" | git mktree)
    export GIT_AUTHOR_NAME=machine GIT_AUTHOR_EMAIL=machine@localhost
    export GIT_COMMITTER_NAME=machine GIT_COMMITTER_EMAIL=machine@localhost
    # No parent: old stores are no history worth keeping. The lease is what keeps two runs apart.
    commit=$(git commit-tree -m store "$tree")
    git push --quiet --force-with-lease="refs/heads/$branch:$parent" "$remote" "$commit:refs/heads/$branch"
    printf '%s\n' "$commit" > "$note"
    ;;
*)
    echo "usage: store.sh restore|save" >&2
    exit 2
    ;;
esac
