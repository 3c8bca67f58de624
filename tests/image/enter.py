"""Runs a program as a container of the image would: enter.py [--mount FROM=TO]... [--writable FROM=TO]... ROOT PROGRAM [ARGUMENT...]

In ROOT, read-only, as user 65532 without capabilities, as the first process of its own, with nothing of this process's environment. /proc and
/dev are there; what is mounted is read-only, too, unless it is writable. The network is this machine's. TERM is handed on; the exit status is the program's (128 + N after signal N)."""
import argparse
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

USER = 65532
NEWNS, NEWPID = 0x20000, 0x20000000  # <linux/sched.h>
SET_PDEATHSIG, SET_NO_NEW_PRIVS = 1, 38  # <linux/prctl.h>

libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: int) -> None:
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


def mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True)


def mount_all(root: Path, pairs: list[str], writable: list[str]) -> None:
    mount("--bind", root, root)
    mount("--rbind", "/dev", root / "dev")
    for pair in pairs + writable:
        source, target = pair.split("=")
        mount("--bind", source, root / target.lstrip("/"))
        if pair in pairs:
            mount("-o", "remount,bind,ro", root / target.lstrip("/"))
    mount("-o", "remount,bind,ro", root)


def become(root: Path, program: list[str]) -> None:
    os.chroot(root)
    os.chdir("/")
    os.setgroups([])
    os.setresgid(USER, USER, USER)
    os.setresuid(USER, USER, USER)
    call("prctl", SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    call("prctl", SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # after the change of user, which takes it back
    os.execve(program[0], program, {"PATH": "/usr/bin"})


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("root", type=Path)
    parser.add_argument("--mount", action="append", default=[])
    parser.add_argument("--writable", action="append", default=[])
    parser.add_argument("program", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    call("unshare", NEWNS)
    mount("--make-rprivate", "/")
    mount_all(arguments.root.resolve(), arguments.mount, arguments.writable)
    call("unshare", NEWPID)
    child = os.fork()
    if child == 0:
        mount("-t", "proc", "proc", arguments.root.resolve() / "proc")
        become(arguments.root.resolve(), arguments.program)
    signal.signal(signal.SIGTERM, lambda number, frame: os.kill(child, number))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


status = main()
sys.exit(status if status >= 0 else 128 - status)
