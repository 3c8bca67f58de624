"""What a process and its children have used so far, by /proc: CPU, context switches, time in the run queue, memory."""
import os
from dataclasses import dataclass, fields
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Usage:
    cpu_s: float = 0.0       # user and system, of threads that have ended, too
    voluntary: int = 0       # context switches of threads that are there: it waited
    involuntary: int = 0     # somebody else had the core
    queued_s: float = 0.0    # ready, but waiting for a core

    def __add__(self, other):
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))

    def __sub__(self, other):
        return Usage(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))


def read(file: Path) -> str:
    """Nothing, of a process or thread that has ended, be it between open and read."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def tree(pid: int) -> list[int]:
    children = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in read(file).split()]
    return [pid, *(below for child in children for below in tree(child))]


def usage(pid: int) -> Usage:
    """Of pid, which must be there, and of its children, which may end meanwhile."""
    if not read(Path(f"/proc/{pid}/stat")):
        raise ProcessLookupError(f"process {pid} has ended")
    return sum((usage_of_one(each) for each in tree(pid)), Usage())


def usage_of_one(pid: int) -> Usage:
    stat = read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    if not stat:
        return Usage()
    used = Usage(cpu_s=(int(stat[11]) + int(stat[12])) / TICKS)
    for task in Path(f"/proc/{pid}/task").glob("*"):
        switches = dict(line.split(":", 1) for line in read(task / "status").splitlines() if "ctxt_switches" in line)
        queued = read(task / "schedstat").split()
        if switches and queued:
            used += Usage(0.0, int(switches["voluntary_ctxt_switches"]), int(switches["nonvoluntary_ctxt_switches"]), int(queued[1]) / 1e9)
    return used


def thread_cpu_s(pid: int, name: str) -> float:
    """Of the threads of this name."""
    named = [task for task in Path(f"/proc/{pid}/task").glob("*") if read(task / "comm").strip() == name]
    return sum(int((read(task / "schedstat").split() or ["0"])[0]) for task in named) / 1e9


def peak_rss_kib(pid: int) -> int:
    """Of those that still have memory: one that waits to be reaped has none."""
    return sum(int(line.split()[1]) for each in tree(pid) for line in read(Path(f"/proc/{each}/status")).splitlines() if line.startswith("VmHWM"))
