"""How parts are ended."""
import signal
import sys

import pytest
from parts import Process


@pytest.mark.parametrize("stopped", [True, False])
def test_only_a_part_that_a_test_has_stopped_is_told_to_go_on(tmp_path, stopped):
    """A CONT takes back the stop by which the leak sanitizer holds a process that ends: both would wait for ever."""
    part = Process("sleeper", tmp_path, [sys.executable, "-c", "import time; time.sleep(600)"])
    if stopped:
        part.signal(signal.SIGSTOP)
    sent, send = [], part.process.send_signal
    part.process.send_signal = lambda number: (sent.append(number), send(number))
    part.end()
    assert sent == [signal.SIGTERM, signal.SIGCONT][:1 + stopped] and part.process.returncode == -signal.SIGTERM
