"""A network of the tests' own: a pod listens on its port on all addresses, as it does in a cluster, and is reached by nobody else."""
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
SIOCSIFFLAGS, IFF_UP = 0x8914, 1


def enter() -> None:
    """For this thread and what it starts from here on. Root has mounts of its own, too; without root, in a name space of users of its own, as who it was."""
    libc, uid, gid = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    if libc.unshare(CLONE_NEWNET | (CLONE_NEWNS if uid == 0 else CLONE_NEWUSER)) != 0:
        why = os.strerror(ctypes.get_errno())
        raise AssertionError(f"no network of its own ({why}): these tests need root with CAP_SYS_ADMIN, or the right to make user name spaces (sysctl kernel.unprivileged_userns_clone=1)")
    if uid == 0:
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    else:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))


def know(hosts: dict[str, str], file: Path) -> None:
    """These hosts, by their addresses, are this machine; the file is /etc/hosts here from now on. Root alone can have that."""
    file.write_text("127.0.0.1 localhost\n::1 localhost\n" + "".join(f"{address} {host}\n" for host, address in hosts.items()))
    subprocess.run(["mount", "--bind", file, "/etc/hosts"], check=True)
    for address in sorted(set(hosts.values())):
        subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
