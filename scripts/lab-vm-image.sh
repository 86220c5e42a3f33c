#!/bin/sh
# Builds a small bootable Debian cloud image for tests of real virtual machines: kernel, GRUB, cloud-init, SSH server,
# and the packages of an engine, fetched but not installed. Needs root, mmdebstrap and the modules of GRUB.
#   sh scripts/lab-vm-image.sh FILE.qcow2
# Beside it: FILE.vmlinuz and FILE.initrd, for booting without a loader.
set -eu
out=$1
stem=${out%.qcow2}
grub=/usr/lib/grub/i386-pc
[ -f "$grub/boot.img" ] || { echo "lab-vm-image: install grub-pc-bin" >&2; exit 1; }
mkdir -p "$(dirname "$out")"
work=$(mktemp -d "$stem.XXXXXX")
trap 'rm -rf "$work"' EXIT
root=$work/root

# What differs from a cloud image of Debian is for speed alone: an emulated processor boots it.
cat >"$work/customize" <<'END'
set -eu
cd "$1"
printf 'LABEL=root / ext4 noatime,x-systemd.growfs 0 1\n' >etc/fstab
printf 'nameserver 10.0.2.3\n' >etc/resolv.conf
printf '127.0.0.1 localhost\n' >etc/hosts
: >etc/machine-id
rm -f etc/hostname etc/ssh/ssh_host_*
printf 'datasource_list: [NoCloud, None]\n' >etc/cloud/cloud.cfg.d/90-lab.cfg
chroot . systemctl -q enable systemd-networkd
for unit in systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer fstrim.timer e2scrub_all.timer \
    e2scrub_reap dpkg-db-backup.timer systemd-timesyncd systemd-pstore systemd-binfmt systemd-rfkill \
    sys-kernel-debug.mount sys-kernel-tracing.mount getty@tty1 serial-getty@ttyS0 man-db.timer logrotate.timer; do
    chroot . systemctl -q mask "$unit"
done
chroot . apt-get --yes --quiet --download-only --no-install-recommends install docker.io >&2
rm -rf usr/share/doc usr/share/man usr/share/locale
END
chmod +x "$work/customize"
cat >"$work/essential" <<'END'
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=gzip\n' >"$1/etc/initramfs-tools/conf.d/lab"
printf 'virtio_pci\nvirtio_blk\nvirtio_net\next4\n' >"$1/etc/initramfs-tools/modules"
END
chmod +x "$work/essential"
mmdebstrap --variant=minbase --format=directory --quiet --skip=cleanup/apt --dpkgopt=force-unsafe-io \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
    --include=linux-image-cloud-amd64,initramfs-tools,busybox,systemd-sysv,udev,dbus,openssh-server,cloud-init,sudo,iproute2,iptables,ca-certificates,curl,procps,kmod,cloud-guest-utils,fdisk \
    --essential-hook="$work/essential" --customize-hook="$work/customize" bookworm "$root" >&2
cp "$root"/boot/vmlinuz-* "$work/vmlinuz"
cp "$root"/boot/initrd.img-* "$work/initrd"
ln -sf "$(basename "$root"/boot/vmlinuz-*)" "$root/boot/vmlinuz"
ln -sf "$(basename "$root"/boot/initrd.img-*)" "$root/boot/initrd"

# One partition from the first MiB on; before it GRUB, which looks for it where it is not moved from.
size=3072
truncate -s ${size}M "$work/disk"
mke2fs -q -t ext4 -L root -O ^metadata_csum,^64bit -E offset=1048576,lazy_itable_init=1 -d "$root" "$work/disk" $((size - 1))M
cat >"$work/grub.cfg" <<'END'
set root=(hd0,msdos1)
linux /boot/vmlinuz root=LABEL=root ro console=ttyS0 quiet loglevel=4 systemd.show_status=false random.trust_cpu=on mitigations=off
initrd /boot/initrd
boot
END
grub-mkimage -O i386-pc -o "$work/core.img" -c "$work/grub.cfg" -p '(hd0,msdos1)/boot/grub' biosdisk part_msdos ext2 linux normal
dd if="$grub/boot.img" of="$work/disk" bs=446 count=1 conv=notrunc status=none
# Active, Linux, from sector 2048 on, 3071 MiB of them; and the signature.
printf '\200\376\377\377\203\376\377\377\000\010\000\000\000\370\137\000' | dd of="$work/disk" bs=1 seek=446 conv=notrunc status=none
printf '\125\252' | dd of="$work/disk" bs=1 seek=510 conv=notrunc status=none
dd if="$work/core.img" of="$work/disk" bs=512 seek=1 conv=notrunc status=none
qemu-img convert -q -O qcow2 "$work/disk" "$work/image"
mv "$work/vmlinuz" "$stem.vmlinuz"
mv "$work/initrd" "$stem.initrd"
mv "$work/image" "$out"
