"""TCP ports that stay ours while nobody listens on them: a server that is away finds its own again.

A port of the range from which the kernel serves outgoing connections (and port 0) may be anybody's the moment after it was
looked at. So these lie outside of it, and each is reserved, for this process's life and against every other test of this
machine, whoever runs it, by a socket in the abstract namespace: that belongs to the network namespace, as ports do, and
leaves nothing behind."""
import random
import socket
from pathlib import Path

FIRST, LAST = 10240, 65535
ENOUGH = 2000
_held = {}  # port: the socket that reserves it
_untried: list[int] = []


def _candidates() -> list[int]:
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    outside = [*range(FIRST, low), *range(max(high + 1, FIRST), LAST + 1)]
    return outside if len(outside) >= ENOUGH else list(range(FIRST, LAST + 1))  # a kernel that gives nearly all away: as good as it gets


def _is_free(port: int) -> bool:
    with socket.socket() as s:
        try:
            s.bind(("", port))
            return True
        except OSError:
            return False


def free_port() -> int:
    """A port that nobody listens on and no other test gets until this process has ended."""
    if not _untried:
        _untried.extend(_candidates())
        random.SystemRandom().shuffle(_untried)
    while _untried:
        port = _untried.pop()
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0chat-worker-tests/port/{port}")
        except OSError:
            reservation.close()
            continue
        if _is_free(port):
            _held[port] = reservation
            return port
        reservation.close()
    raise RuntimeError("no free port")
