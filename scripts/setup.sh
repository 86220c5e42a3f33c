#!/bin/sh
# Installs what `machine` and its tests need on a Debian-like system. Runs as root; does nothing twice.
#   sh scripts/setup.sh          what it needs to build and to run the embedded local driver
#   sh scripts/setup.sh tests    and what the tests need
set -eu

missing=
need() { # program, package
    command -v "$1" >/dev/null 2>&1 || missing="$missing $2"
}

need cc gcc
need systemd-nspawn systemd-container
need mmdebstrap mmdebstrap
need iptables iptables
need ip iproute2
if [ "${1-}" = tests ]; then
    need docker docker.io
    need sshd openssh-server
    need ssh openssh-client
    need openssl openssl
    # The one of package `busybox` needs libraries that a container of the tests does not have.
    [ "$(dpkg-query -W -f '${Status}' busybox-static 2>/dev/null)" = 'install ok installed' ] || missing="$missing busybox-static"
    need tmux tmux
    need rsync rsync
    need sshfs sshfs
    need zsh zsh
    need ksh ksh93u+m
    need mksh mksh
    need fish fish
    need tcsh tcsh
    need bsd-csh csh
    need xonsh xonsh
    need groff groff
    need dpkg-deb dpkg
    need gpg gnupg
    need isoinfo genisoimage
    need age age
    need git git
    need jq jq
    [ "$(dpkg-query -W -f '${Status}' python3-venv 2>/dev/null)" = 'install ok installed' ] || missing="$missing python3-venv"
    need qemu-system-x86_64 qemu-system-x86
    need qemu-img qemu-utils
    need isoinfo genisoimage
    need grub-mkimage grub-common
    [ -f /usr/lib/grub/i386-pc/boot.img ] || missing="$missing grub-pc-bin"
fi
if [ -n "$missing" ]; then
    if [ "$(id -u)" -ne 0 ]; then
        echo "setup: needs root to install:$missing" >&2
        exit 1
    fi
    echo "setup: installing$missing" >&2
    apt-get update -q >&2
    # A qemu-img from elsewhere keeps the rest of its qemu out: the system's own takes its place.
    case " $missing " in *" qemu-system-x86 "*)
        version=$(apt-cache show --no-all-versions qemu-system-x86 | sed -n 's/^Version: //p')
        missing="$missing --allow-downgrades qemu-utils=$version" ;;
    esac
    # The services of these packages are not wanted here, only their programs.
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends $missing >&2
fi
if ! command -v cargo >/dev/null 2>&1; then
    echo "setup: cargo is missing; install Rust 1.95 or newer, as https://rustup.rs says" >&2
    exit 1
fi
