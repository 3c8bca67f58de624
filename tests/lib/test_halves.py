"""Which scenarios the second and the third time of a whole run play: tests/conftest.py."""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FILE = "tests/scenario/test_check_config.py"  # a few hundred that need nothing to be collected


def collected(half):
    out = subprocess.run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--collect-only", FILE], cwd=ROOT, env={**os.environ, "CHAT_HALF": half},
                         capture_output=True, text=True, check=True).stdout
    return [line for line in out.splitlines() if line.startswith(FILE)]


def test_each_is_in_one_of_two_halves_and_another_seed_parts_them_anew():
    everything, first, second, another = (collected(half) for half in ("", "first 7", "second 7", "first 8"))
    assert sorted(first + second) == sorted(everything) and len(everything) == len(set(everything)) > 50
    assert min(len(first), len(second)) > len(everything) // 4
    assert sorted(first) != sorted(another)
