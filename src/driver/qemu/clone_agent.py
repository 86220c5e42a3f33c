#!/usr/bin/python3
"""Runs in a virtual machine that is frozen, and tells each one that goes on from it who it is. Then it removes itself.

It speaks JSON, a line each way at a time, through a serial port of its own.
"""
import fcntl
import glob
import json
import os
import pwd
import select
import socket
import subprocess
import sys
import time

PORT = "/dev/virtio-ports/machine.clone"
UNIT = "/etc/systemd/system/machine-clone.service"
# RNDRESEEDCRNG of random(4).
RESEED = 0x5207
# How long the other side may not listen yet, in tenths of a second.
LONELY = 300
SERVERS = ["ssh.socket", "sshd.socket", "ssh.service", "sshd.service"]
# Numbers that would be the same in all that go on from here.
OF_ONE = ["/var/lib/docker/engine-id", "/etc/docker/key.json", "/var/lib/systemd/credential.secret"]


def run(*words):
    null = subprocess.DEVNULL
    return subprocess.run(words, stdin=null, stdout=null, stderr=null).returncode == 0


def put(path, text, mode=0o644, owner=None):
    new = path + ".machine"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "w") as file:
        if owner:
            os.fchown(file.fileno(), owner.pw_uid, owner.pw_gid)
        os.fchmod(file.fileno(), mode)
        file.write(text)
    os.rename(new, path)


def forget():
    for path in glob.glob("/etc/ssh/ssh_host_*") + OF_ONE:
        if os.path.exists(path):
            os.remove(path)


def become(who):
    # Before anything draws a random number, for all that go on from here would draw the same one.
    with open("/dev/urandom", "wb", buffering=0) as random:
        random.write(bytes.fromhex(who["entropy"]))
        fcntl.ioctl(random, RESEED)
    seed = "/var/lib/systemd/random-seed"
    if os.path.exists(seed):
        with open(seed, "r+b") as file:
            file.write(os.urandom(512))
    time.clock_settime(time.CLOCK_REALTIME, who["now"])
    name = who["hostname"]
    put("/etc/machine-id", who["machine-id"] + "\n", 0o444)
    put("/etc/hostname", name + "\n")
    socket.sethostname(name)
    with open("/etc/hosts") as file:
        hosts = file.read()
    put("/etc/hosts", hosts.replace(who["was"], name))
    put("/etc/ssh/ssh_host_ed25519_key", who["private"], 0o600)
    put("/etc/ssh/ssh_host_ed25519_key.pub", who["public"] + "\n")
    user = pwd.getpwnam(who["user"])
    folder = os.path.join(user.pw_dir, ".ssh")
    os.makedirs(folder, 0o700, exist_ok=True)
    os.chown(folder, user.pw_uid, user.pw_gid)
    put(os.path.join(folder, "authorized_keys"), who["login"] + "\n", 0o600, user)


def ready(port, how):
    """Waits until it can speak or hear. When the program that began this is gone, the machine ends."""
    poll = select.poll()
    poll.register(port, how)
    lonely = 0
    while True:
        found = poll.poll()[0][1]
        if not found & select.POLLHUP:
            return
        lonely += 1
        if lonely > LONELY:
            run("systemctl", "poweroff")
            sys.exit(1)
        time.sleep(0.1)


def main():
    port = os.open(PORT, os.O_RDWR | os.O_NONBLOCK)

    def say(**words):
        ready(port, select.POLLOUT)
        os.write(port, json.dumps(words).encode() + b"\n")

    run("systemctl", "is-system-running", "--wait")
    servers = [unit for unit in SERVERS if run("systemctl", "is-active", unit)]
    run("systemctl", "stop", *SERVERS)
    forget()
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("1")
    say(state="settled")
    text = b""
    while True:
        ready(port, select.POLLIN)
        text += os.read(port, 65536)
        while b"\n" in text:
            line, text = text.split(b"\n", 1)
            who = json.loads(line)
            if who == "freeze":
                say(state="freezing")
                # It stands still from somewhere here on, and goes on as another.
                continue
            try:
                become(who)
            except Exception as error:
                say(state="failed", why=repr(error))
                return
            started = run("systemctl", "start", *servers)
            for path in [__file__, UNIT]:
                os.remove(path)
            os.sync()
            say(state="ready" if started else "failed", why="its SSH server does not start")
            return


main()
