#!/bin/sh
# Makes a root file system with the real VBoxManage of Debian sid, without VirtualBox's kernel module: for tests of driver
# `virtualbox`. Runs as root, takes a minute or two, does nothing twice.
#   sh scripts/lab-virtualbox.sh FOLDER
set -eu

folder=$1
[ -x "$folder/usr/lib/virtualbox/VBoxManage" ] && exit 0
mkdir -p "$(dirname "$folder")"
new="$folder.new.$$"
trap 'rm -rf "$new"' EXIT
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -e "$keyring" ] && key="--keyring=$keyring" || key=
# Packages of a release that moves may be older than their list says.
# shellcheck disable=SC2086 # one word or none
mmdebstrap $key --quiet --mode=root --variant=minbase --components=main,contrib \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --essential-hook='printf "#!/bin/sh\nexit 101\n" > "$1/usr/sbin/policy-rc.d"; chmod +x "$1/usr/sbin/policy-rc.d"' \
    --include=iproute2 sid "$new" >&2
# The program needs a kernel module by name only: an empty package has that name.
stub="$new/tmp/stub"
mkdir -p "$stub/DEBIAN"
printf 'Package: virtualbox-dkms\nVersion: 99:1\nArchitecture: all\nProvides: virtualbox-modules\nMaintainer: lab <lab@localhost>\nDescription: nothing\n' \
    > "$stub/DEBIAN/control"
chroot "$new" sh -ec '
    export DEBIAN_FRONTEND=noninteractive
    dpkg-deb -b /tmp/stub /tmp/stub.deb >/dev/null && dpkg -i /tmp/stub.deb >/dev/null
    apt-get -o Acquire::Check-Valid-Until=false update -q >/dev/null
    apt-get install -y -q --no-install-recommends virtualbox >/dev/null
    apt-get clean' >&2
rm -rf "$folder"
mv "$new" "$folder"
