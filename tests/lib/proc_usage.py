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


def tree(pid: int) -> list[int]:
    children = [int(child) for file in Path(f"/proc/{pid}/task").glob("*/children") for child in file.read_text().split()]
    return [pid, *(below for child in children for below in tree(child))]


def usage(pid: int) -> Usage:
    return sum((usage_of_one(each) for each in tree(pid)), Usage())


def usage_of_one(pid: int) -> Usage:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    used = Usage(cpu_s=(int(stat[11]) + int(stat[12])) / TICKS)
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            switches = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines() if "ctxt_switches" in line)
            queued_ns = (task / "schedstat").read_text().split()[1]
        except (FileNotFoundError, ProcessLookupError):  # a thread that has ended
            continue
        used += Usage(0.0, int(switches["voluntary_ctxt_switches"]), int(switches["nonvoluntary_ctxt_switches"]), int(queued_ns) / 1e9)
    return used


def peak_rss_kib(pid: int) -> int:
    peaks = (next(line.split()[1] for line in Path(f"/proc/{each}/status").read_text().splitlines() if line.startswith("VmHWM")) for each in tree(pid))
    return sum(int(peak) for peak in peaks)
