#!/bin/sh
# Builds a small bootable Debian cloud image for tests of real virtual machines: kernel, GRUB, cloud-init, SSH server,
# and an engine that is switched off. Needs root, mmdebstrap and the modules of GRUB.
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
printf '/dev/vda1 / ext4 noatime 0 0\n' >etc/fstab
printf 'nameserver 10.0.2.3\n' >etc/resolv.conf
printf '127.0.0.1 localhost\n' >etc/hosts
: >etc/machine-id
rm -f etc/hostname etc/ssh/ssh_host_*
cat >etc/cloud/cloud.cfg.d/90-lab.cfg <<'CFG'
datasource_list: [NoCloud, None]
cloud_init_modules: [bootcmd, write-files, growpart, resizefs, set_hostname, update_etc_hosts, users-groups, ssh]
cloud_config_modules: [runcmd]
cloud_final_modules: [scripts-user]
CFG
chroot . systemctl -q enable systemd-networkd
for unit in systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer fstrim.timer e2scrub_all.timer \
    e2scrub_reap dpkg-db-backup.timer systemd-timesyncd systemd-pstore systemd-binfmt systemd-rfkill \
    sys-kernel-debug.mount sys-kernel-tracing.mount getty@tty1 serial-getty@ttyS0 man-db.timer logrotate.timer; do
    chroot . systemctl -q mask "$unit"
done
chroot . systemctl -q disable docker.socket docker containerd
rm -rf usr/share/doc usr/share/man usr/share/locale
END
chmod +x "$work/customize"
cat >"$work/essential" <<'END'
set -eu
mkdir -p "$1/etc/initramfs-tools/conf.d"
printf 'MODULES=list\nCOMPRESS=gzip\n' >"$1/etc/initramfs-tools/conf.d/lab"
END
chmod +x "$work/essential"
mmdebstrap --variant=minbase --format=directory --quiet --dpkgopt=force-unsafe-io \
    --aptopt='Acquire::Check-Valid-Until "false"' --aptopt='APT::Install-Recommends "false"' \
    --include=linux-image-cloud-amd64,busybox-static,systemd-sysv,udev,dbus,openssh-server,cloud-init,sudo,iproute2,iptables,ca-certificates,curl,procps,kmod,cloud-guest-utils,fdisk,docker.io \
    --essential-hook="$work/essential" --customize-hook="$work/customize" bookworm "$root" >&2
cp "$root"/boot/vmlinuz-* "$work/vmlinuz"
# The usual initial RAM disk starts a udev of its own, which takes longer than all this one does.
ram=$work/ram
mkdir -p "$ram/bin" "$ram/lib/m" "$ram/proc" "$ram/dev" "$ram/r"
cp "$root/bin/busybox" "$ram/bin/"
version=$(basename "$root"/lib/modules/*)
for module in virtio_pci virtio_blk ext4; do
    chroot "$root" modprobe -S "$version" --show-depends "$module" | sed -n 's/^insmod //p' | while read -r file _; do
        grep -qx "$(basename "$file")" "$ram/lib/order" 2>/dev/null || cp "$root$file" "$ram/lib/m/"
        grep -qx "$(basename "$file")" "$ram/lib/order" 2>/dev/null || basename "$file" >>"$ram/lib/order"
    done
done
cat >"$ram/init" <<'END'
#!/bin/busybox sh
b=/bin/busybox
$b mount -t devtmpfs d /dev
$b mount -t proc p /proc
while read -r m; do $b insmod "/lib/m/$m"; done </lib/order
while [ ! -b /dev/vda1 ]; do $b sleep 0.05; done
$b mount -t ext4 -o rw,noatime /dev/vda1 /r
$b mount --move /dev /r/dev
$b umount /proc
exec $b switch_root /r /sbin/init
END
chmod +x "$ram/init"
(cd "$ram" && find . | "$ram/bin/busybox" cpio -o -H newc 2>/dev/null | gzip -1) >"$work/initrd"
rm -f "$root"/boot/initrd*
cp "$work/initrd" "$root/boot/initrd"
ln -sf "$(basename "$root"/boot/vmlinuz-*)" "$root/boot/vmlinuz"

# One partition from the first MiB on; before it GRUB, which looks for it where it is not moved from.
size=3072
truncate -s ${size}M "$work/disk"
mke2fs -q -t ext4 -L root -O ^metadata_csum,^64bit -E offset=1048576,lazy_itable_init=1 -d "$root" "$work/disk" $((size - 1))M
cat >"$work/grub.cfg" <<'END'
set root=(hd0,msdos1)
linux /boot/vmlinuz root=/dev/vda1 rw console=ttyS0 quiet loglevel=4 systemd.show_status=false random.trust_cpu=on mitigations=off tsc=unstable no_timer_check nomodeset reboot=t
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
