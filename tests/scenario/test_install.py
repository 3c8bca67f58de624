"""What cmake --install leaves, and that it works there."""
import re
import shutil
import subprocess

import pytest
from parts import BIN, LIMIT_S, ROOT

pytestmark = pytest.mark.xdist_group("install")  # two installations at once would share the build folder's unit

UNIT, EXAMPLE = "lib/systemd/system/chat-worker.service", "share/doc/chat-worker/worker.ini.example"


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    prefix = tmp_path_factory.mktemp("prefix")
    run("cmake", "--install", BIN.parent, "--prefix", prefix)
    return prefix


def unit_settings(unit):
    return dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line and not line.startswith("#"))


def test_both_programs_the_example_and_the_unit_are_there_and_nothing_else(installed):
    files = {str(f.relative_to(installed)) for f in installed.rglob("*") if not f.is_dir()}
    found = re.search(r"^HELP2MAN:FILEPATH=(.*)", (BIN.parent / "CMakeCache.txt").read_text(), re.M).group(1)
    pages = {"share/man/man1/chat-worker.1", "share/man/man1/chat-producer.1", "share/man/man5/chat-worker.ini.5"} if not found.endswith("-NOTFOUND") else set()
    assert files == {"bin/chat-worker", "bin/chat-producer", UNIT, EXAMPLE} | pages


@pytest.mark.parametrize("program", ["chat-worker", "chat-producer"])
def test_an_installed_program_says_what_it_is(installed, program):
    assert re.fullmatch(rf"{program} \d+\.\d+\.\d+(-\d+)?(-g[0-9a-f]+)?\n", run(installed / "bin" / program, "--version"))
    assert run(installed / "bin" / program, "--help").startswith(f"Usage: {program} ")


def test_the_example_is_accepted_by_the_installed_worker(installed):
    run(installed / "bin/chat-worker", "--check-config", "-c", installed / EXAMPLE)


def test_the_unit_starts_the_installed_worker_and_gives_it_time_to_drain(installed):
    settings = unit_settings(installed / UNIT)
    assert settings["ExecStart"] == f"{installed}/bin/chat-worker -c {installed}/etc/chat-worker/worker.ini"
    drain_ms = int(re.search(r"^[;# ]*drain_timeout_ms *= *(\d+)", (installed / EXAMPLE).read_text(), re.M).group(1))
    assert int(settings["TimeoutStopSec"]) * 1000 >= drain_ms + 15000


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_the_unit_is_one_for_systemd(installed):
    assert run("systemd-analyze", "verify", "--man=no", installed / UNIT) == ""


def test_a_package_has_the_unit_where_systemd_looks_and_its_settings_in_etc(installed, tmp_path):
    """Made as Debian's packages are, for /usr: there libraries would go to lib/<architecture>. The programs are the ones built already."""
    build, root = tmp_path / "build", tmp_path / "root"
    run("cmake", "-G", "Ninja", "-S", ROOT, "-B", build, "-DCMAKE_INSTALL_PREFIX=/usr", "-DHELP2MAN=OFF")
    for program in ("chat-worker", "chat-producer"):
        shutil.copy(BIN / program, build / "bin")
    shutil.copy(installed / EXAMPLE, build / "worker")
    run("env", f"DESTDIR={root}", "cmake", "--install", build)
    assert unit_settings(root / "usr" / UNIT)["ExecStart"] == "/usr/bin/chat-worker -c /etc/chat-worker/worker.ini"
