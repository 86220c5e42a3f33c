apt_dir=$(mktemp -d)
trap 'rm -rf "$apt_dir"' EXIT
# How long to wait for locks, seconds: unattended upgrades and first boots take minutes.
apt_patience=300
# apt-get without questions, waiting for its locks.
apt_get() {
    apt_waited=0
    apt_noted=
    apt_repaired=no
    while :; do
        {
            apt_status=0
            DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -q -y -o Dpkg::Use-Pty=0 \
                -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@" 2>&1 3>&- || apt_status=$?
            echo $apt_status >"$apt_dir/status"
        } | tee "$apt_dir/log" >&2
        apt_status=$(cat "$apt_dir/status")
        if [ "$apt_status" -eq 0 ]; then return 0; fi
        if grep -q 'dpkg --configure -a' "$apt_dir/log" && [ $apt_repaired = no ]; then
            note 'finishing an interrupted installation: dpkg --configure -a'
            DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a >&2 3>&- || :
            apt_repaired=yes
            continue
        fi
        apt_lock=$(grep -i -m 1 -e 'could not get lock' -e 'unable to lock' -e 'unable to acquire' "$apt_dir/log") || return "$apt_status"
        if [ $apt_waited -ge $apt_patience ]; then
            echo "apt was locked by another program for $apt_waited s: ${apt_lock#E: }" >&2
            return "$apt_status"
        fi
        if [ "$apt_lock" != "$apt_noted" ]; then note "waiting for another program to release apt: ${apt_lock#E: }"; fi
        apt_noted=$apt_lock
        sleep 2
        apt_waited=$((apt_waited + 2))
    done
}
apt_updated=no
apt_update() {
    note 'fetching the lists of packages'
    apt_get update "$@"
    apt_updated=yes
}
# Whether there are lists that were fetched within the hour. The files carry the dates of the server; the folder tells.
apt_fresh() {
    [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' 2>/dev/null | head -n 1)" ] &&
        [ -n "$(find /var/lib/apt/lists/partial -maxdepth 0 -mmin -60 2>/dev/null)" ]
}
# apt_install PACKAGE...: nothing that is installed may be removed for it.
apt_install() {
    apt_fresh || [ $apt_updated = yes ] || apt_update
    apt_get install --no-install-recommends --no-remove --allow-downgrades "$@" && return 0
    apt_status=$?
    if [ "$(df -Pk /var | awk 'END { print $4 }')" -lt 51200 ]; then echo 'the disk is full: less than 50 MiB are free on /var' >&2; fi
    [ $apt_updated = no ] || return $apt_status
    apt_update
    apt_get install --no-install-recommends --no-remove --allow-downgrades "$@"
}
apt_versions() { apt-cache madison "$1" 2>/dev/null | awk -F '|' '/Packages *$/ { gsub(/ /, "", $2); print $2 }'; }
# apt_choose PACKAGE PIN: the newest version that the pin matches; a candidate is written 1~rc in packages, 1-rc upstream.
apt_choose() {
    for version in $(apt_versions "$1"); do
        upstream=${version#*:}
        upstream=$(printf %s "${upstream%-*}" | tr '~' -)
        case $upstream in "$2" | "$2".* | "$2"-* | "$2"+*)
            printf '%s\n' "$version"
            return 0
            ;;
        esac
    done
    return 1
}
# apt_pinned PACKAGE PIN WHERE: as apt_choose, with fresh lists if need be and a clear end if there is none.
apt_pinned() {
    if ! apt_fresh && [ $apt_updated = no ]; then apt_update >&2; fi
    apt_choose "$1" "$2" && return 0
    if [ $apt_updated = no ]; then
        apt_update >&2
        apt_choose "$1" "$2" && return 0
    fi
    available=$(for version in $(apt_versions "$1"); do version=${version#*:}; echo "${version%-*}"; done | sort -ruV | tr '\n' ' ' | sed 's/ $//')
    echo "$1 $2 is not available for $3; available: ${available:-none}" >&2
    return 69
}
