# Functions that ops may use. Standard output of an op is standard error; fd 3 takes marks of progress.
note() { printf '\036machine note %s\n' "$*" >&3; }
# put MODE PATH CONTENT: the whole file or none, private until it is in place.
put() (
    set -e
    (umask 022 && mkdir -p "${2%/*}")
    umask 077
    temporary=$(mktemp "${2%/*}/.machine.XXXXXX")
    trap 'rm -f "$temporary"' EXIT
    printf %s "$3" >"$temporary"
    chmod "$1" "$temporary"
    mv -f "$temporary" "$2"
)
need_certificate() {
    for file in /etc/docker/ca.pem /etc/docker/server.pem /etc/docker/server-key.pem; do
        [ -s "$file" ] && continue
        echo "$file is missing, and dockerd cannot start with TLS without it" >&2
        return 1
    done
}
engine_files='/etc/docker/daemon.json /etc/docker/machine.json /etc/docker/ca.pem /etc/docker/server.pem
    /etc/docker/server-key.pem /etc/docker/machine.env /etc/systemd/system/docker.service.d/10-machine.conf'
# engine_change running|fresh: before files are changed, once: keep them, for when dockerd refuses the new ones.
engine_change() (
    set -e
    [ ! -e /etc/docker/machine.pending ] || return 0
    umask 077
    for file in $engine_files; do
        rm -f "$file.previous"
        if [ "$1" = running ] && [ -f "$file" ]; then cp -p "$file" "$file.previous"; fi
    done
    put 0644 /etc/docker/machine.pending "$1
"
)
engine_settled() {
    for file in $engine_files; do rm -f "$file.previous"; done
    rm -f /etc/docker/machine.pending
}
engine_restore() {
    [ "$(cat /etc/docker/machine.pending 2>/dev/null)" = running ] || return 0
    note 'putting the previous configuration back'
    echo 'the previous configuration was put back' >&2
    for file in $engine_files; do
        if [ -f "$file.previous" ]; then mv -f "$file.previous" "$file"; else rm -f "$file"; fi
    done
    rm -f /etc/docker/machine.pending
}
# Whether dockerd accepts its daemon.json; engines before 23 cannot be asked.
engine_valid() {
    [ -s /etc/docker/daemon.json ] || return 0
    said=$(dockerd --validate --config-file=/etc/docker/daemon.json 2>&1) && return 0
    case $said in *'unknown flag'*) return 0 ;; esac
    printf '%s\n' "$said" >&2
    return 1
}
# Without what is said when all is well, which is most of it.
engine_journal() {
    journalctl -u docker.service -n 100 --no-pager -o cat 2>/dev/null | grep -v ' level=info ' | tail -n 20 >&2 || :
}
# SIGHUP is answered in the journal, some time later.
engine_reload() {
    cursor=$(journalctl -u docker.service -n 0 --show-cursor 2>/dev/null | sed -n 's/^-- cursor: //p')
    if engine_valid && systemctl reload docker.service && engine_heard "$cursor"; then
        engine_settled
        return 0
    fi
    engine_restore
    systemctl reload docker.service || :
    return 1
}
engine_heard() {
    [ -n "$1" ] || return 0
    tries=0
    # An engine whose log level is `error` says nothing: five seconds are enough for it.
    while [ $tries -lt 50 ]; do
        said=$(journalctl -u docker.service --after-cursor "$1" -o cat 2>/dev/null)
        case $said in
            *'unable to configure the Docker daemon'* | *'Error reconfiguring'*)
                printf '%s\n' "$said" >&2
                return 1
                ;;
            *'Reloaded configuration'*) return 0 ;;
        esac
        sleep 0.1
        tries=$((tries + 1))
    done
}
engine_restart() {
    systemctl daemon-reload
    # systemd refuses to start what was started too often.
    systemctl reset-failed docker.service docker.socket 2>/dev/null || :
    if ! engine_valid; then
        # The engine that runs was not touched.
        engine_restore
        systemctl daemon-reload
        return 1
    fi
    if timeout 300 systemctl restart docker.service; then
        engine_settled
        return 0
    fi
    engine_journal
    # What failed here may be our files; what was there before has run.
    if [ "$(cat /etc/docker/machine.pending 2>/dev/null)" = running ]; then
        engine_restore
        systemctl daemon-reload
        systemctl reset-failed docker.service docker.socket 2>/dev/null || :
        timeout 300 systemctl restart docker.service || engine_journal
    fi
    return 1
}
# Starts dockerd unless it runs, with the files as they are.
engine_start() {
    if systemctl is-active --quiet docker.service; then engine_settled; else engine_restart; fi
}
