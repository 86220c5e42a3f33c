# Gathers the facts of one host. Read-only; runs in dash, bash and busybox sh; $1 is the engine's port.
# Every line of content begins with `|`, every name of a section with `@`, so no content can pass for a name.
# Built-ins are preferred to programs: a fork costs more than everything else here.
LC_ALL=C
PATH=/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin:${PATH-}
export LC_ALL PATH
port=$1
lines() { while IFS= read -r line || [ -n "$line" ]; do printf '|%s\n' "$line"; done; }
value() { printf '@%s\n|%s\n' "$1" "$2"; }
first() { line=; [ -r "$2" ] && IFS= read -r line <"$2"; value "$1" "$line"; }
content() { if [ -f "$2" ] && [ -r "$2" ]; then printf '@%s\n' "$1"; lines <"$2"; fi; }
has() { command -v "$1" >/dev/null 2>&1; }

printf '@machine-probe 1\n'
value port "$port"
if [ -r /etc/os-release ]; then content os-release /etc/os-release; else content os-release /usr/lib/os-release; fi
value arch "$(uname -m)"
value clock "$(date +%s)"
uid=$(id -u)
value uid "${SUDO_UID:-$uid}"
value root "$uid"
first hostname /proc/sys/kernel/hostname
first boot-id /proc/sys/kernel/random/boot_id

systemd=no
[ -d /run/systemd/system ] && systemd=yes
value systemd "$systemd"
if [ "$systemd" = yes ]; then
    printf '@units\n'
    systemctl show docker.service docker.socket firewalld.service \
        -p Id,LoadState,ActiveState,UnitFileState,FragmentPath,ExecStart,MainPID,ActiveEnterTimestamp 2>/dev/null | lines
fi
for unit in /etc/systemd/system/docker.service /run/systemd/system/docker.service \
    /usr/local/lib/systemd/system/docker.service /usr/lib/systemd/system/docker.service /lib/systemd/system/docker.service; do
    # A masked unit is a link to /dev/null.
    if [ -f "$unit" ]; then content unit "$unit"; break; fi
done
for conf in /usr/lib/systemd/system/docker.service.d/*.conf /run/systemd/system/docker.service.d/*.conf \
    /etc/systemd/system/docker.service.d/*.conf; do
    case $conf in *'
'*) ;; *) content "drop-in $conf" "$conf" ;; esac
done

dockerd=$(command -v dockerd 2>/dev/null)
value dockerd "$dockerd"
packages=
if has dpkg-query; then
    # shellcheck disable=SC2016 # the names are dpkg's
    packages=$(dpkg-query -W -f '${db:Status-Abbrev} ${Package} ${Version}\n' docker.io docker-ce docker-ce-cli \
        docker-cli docker-engine moby-engine containerd containerd.io podman-docker 2>/dev/null)
fi
printf '@packages\n'
[ -z "$packages" ] || printf '%s\n' "$packages" | lines
case $packages in
    # `ii  docker.io VERSION`; `un` and `rc` are not installed.
    *'i  docker.io '* | *'i  docker-ce '* | *'i  docker-engine '* | *'i  moby-engine '*) ;;
    *) if [ -n "$dockerd" ]; then printf '@dockerd-version\n'; "$dockerd" --version 2>/dev/null | lines; fi ;;
esac

content daemon.json /etc/docker/daemon.json
content machine.json /etc/docker/machine.json
content pending /etc/docker/machine.pending
# Of the secret variables only the names are for others; the first line has them, and a salt.
if [ -r /etc/docker/machine.env ]; then first secret-head /etc/docker/machine.env; fi
set --
for file in /etc/docker/ca.pem /etc/docker/server.pem /etc/docker/server-key.pem /etc/docker/machine.env; do
    [ -f "$file" ] && set -- "$@" "$file"
done
if [ $# -gt 0 ]; then
    printf '@sha256\n'
    sha256sum "$@" 2>/dev/null | lines
    printf '@modes\n'
    stat -c '%a %n' "$@" 2>/dev/null | lines
fi

containers=0
for task in /run/containerd/io.containerd.runtime.v*/moby/* /run/docker/containerd/daemon/io.containerd.runtime.v*/moby/*; do
    [ -d "$task" ] && containers=$((containers + 1))
done
value containers "$containers"
swarm=no
[ -s /var/lib/docker/swarm/docker-state.json ] && swarm=yes
value swarm "$swarm"

listening=no
grep -q -s -i ":$(printf %04X "$port") [0-9A-F]*:0000 0A " /proc/net/tcp /proc/net/tcp6 && listening=yes
value listening "$listening"
free=
for free in $(df -Pk /var/lib 2>/dev/null | tail -n 1); do case $free in *%) break ;; *) last=$free ;; esac; done
value free-kib "${last-}"

cloud=absent
if [ -e /run/cloud-init/disabled ] || [ -e /etc/cloud/cloud-init.disabled ]; then
    cloud=disabled
elif has cloud-init; then
    cloud=running
    [ -e /run/cloud-init/result.json ] && cloud=done
fi
value cloud-init "$cloud"
content cloud-init-result /run/cloud-init/result.json

content ufw /etc/ufw/ufw.conf
if [ -r /etc/ufw/user.rules ]; then
    printf '@ufw-rules\n'
    grep '^### tuple ### ' /etc/ufw/user.rules | lines
fi
if has firewall-cmd; then
    # firewalld answers in 0.3 s when it runs and at once when it does not: its bus name is looked at first.
    if [ -e /run/firewalld.pid ] || [ "$systemd" = yes ] && systemctl is-active --quiet firewalld.service; then
        value firewalld "$(firewall-cmd --query-port="$port/tcp" 2>/dev/null)"
    fi
fi
if has nft && [ "$uid" = 0 ]; then
    printf '@nft\n'
    nft list ruleset 2>/dev/null | grep -e 'hook input' -e 'dport' | lines
fi
printf '@end\n'
