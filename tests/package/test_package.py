"""charts/debian: what the Debian packages hold, and that a Debian 12 and a 13 can be given them and run the worker as a service."""
import gzip
import re
import urllib.request

import pytest
from conftest import VERSION, build, run
from parts import BIN, LIMIT_S, Topics, free_port, wait_until

PAGES = {"chat-worker.1": "man1", "chat-producer.1": "man1", "chat-worker.ini.5": "man5"}


# ---- what is in them ----


def test_lintian_finds_no_error(debs):
    """Who makes a package says by DEBEMAIL who that is; here nobody does."""
    found = run("lintian", "--allow-root", "--fail-on", "error", "--suppress-tags", "bogus-mail-host,bogus-mail-host-in-debian-changelog,root-in-contact", *debs.values())
    assert not re.search(r"^E:", found, re.M), found


def test_what_they_need_is_what_the_programs_are_linked_with(debs):
    def needed(package):
        return {re.split(r"[ :|]", each.strip())[0] for each in run("dpkg-deb", "-f", debs[package], "Depends").split(",")}

    assert {"libc6", "ca-certificates", "systemd"} <= needed("chat-worker") and any(name.startswith("libhiredis") for name in needed("chat-worker"))
    assert not any(name.startswith(("libhiredis", "libcurl", "systemd")) for name in needed("chat-producer")) and "librdkafka1" in needed("chat-producer")
    assert run("dpkg-deb", "-f", debs["chat-worker"], "Version").strip() == VERSION


@pytest.mark.parametrize("suite", [pytest.param("trixie", marks=pytest.mark.xdist_group("trixie"))], indirect=True)
def test_made_again_they_are_the_same_to_the_bit(suite, debs, tmp_path):
    """A bookworm's programs are made twice by the image's tests."""
    again = build(suite, tmp_path)
    assert {name: deb.read_bytes() for name, deb in again.items()} == {name: deb.read_bytes() for name, deb in debs.items()}


def test_the_manual_pages_are_without_fault(unpacked, tmp_path):
    for name, folder in PAGES.items():
        page = tmp_path / name
        page.write_bytes(gzip.decompress((unpacked / "usr/share/man" / folder / f"{name}.gz").read_bytes()))
        assert run("mandoc", "-T", "lint", "-W", "warning", page) == ""
        done = run("bash", "-c", 'man --warnings --encoding=UTF-8 --local-file "$0" 2>&1 >"$0.txt"', page, LC_ALL="C.UTF-8", MANWIDTH="100")
        assert done == "" and len((tmp_path / f"{name}.txt").read_text()) > 1000
    bad = tmp_path / "bad.1"
    bad.write_text('.TH BAD 1 2026-01-01 bad\n.SH NAME\nbad \\- has a fault\n.SH DESCRIPTION\n.XX "no such macro"\n')
    assert "XX" in run("mandoc", "-T", "lint", "-W", "warning", bad, status=3)


def test_the_pages_hold_each_option_and_each_setting(unpacked):
    def page(name):
        return gzip.decompress((unpacked / "usr/share/man" / PAGES[name] / f"{name}.gz").read_bytes()).decode().replace("\\-", "-")

    for name, program in (("chat-worker.1", ["chat-worker"]), *(("chat-producer.1", ["chat-producer", command]) for command in ("submit", "ask", "cancel", "replay"))):
        options = re.findall(r"^ +(?:-\w, )?(--[\w-]+)", run(BIN / program[0], *program[1:], "--help"), re.M)
        assert len(options) > 5 and [option for option in options if f"\\fB{option}\\fR" not in page(name)] == []
    settings = re.findall(r"^\| `(\w+)` \|", run(BIN / "chat-worker", "--print-markdown"), re.M)
    assert len(settings) > 60 and [key for key in settings if f"\n\\fB{key}\\fR = " not in page("chat-worker.ini.5")] == []
    assert "threads = 64" not in page("chat-worker.1"), "settings have a page of their own"


def test_the_unit_gives_the_service_little(unpacked):
    """--threshold is ten times the exposure: 1.4 of 10. What is left is the network, and that it may name its resources."""
    unit = unpacked / "usr/lib/systemd/system/chat-worker.service"
    run("systemd-analyze", "security", "--offline=true", "--threshold=15", unit)
    open_unit = unpacked / "open.service"
    open_unit.write_text(re.sub(r"^(Protect|Private|Restrict|System|Capability)\w+=.*\n", "", unit.read_text(), flags=re.M))
    run("systemd-analyze", "security", "--offline=true", "--threshold=15", open_unit, status=1)


# ---- on a machine ----


class Service:
    """Installed, with settings for a Kafka in memory, this test's Redis and provider."""

    def __init__(self, stage, machine, debs):
        self.machine = machine
        machine.install(*debs.values())
        redis_port, self.port = free_port(), free_port()
        stage.redis("--port", str(redis_port), "--bind", "127.0.0.1")
        self.sim = stage.simulator()
        self.settings = machine.root / "etc/chat-worker/worker.ini"
        self.settings.write_text(f"""[kafka]
bootstrap.servers = embedded
[redis]
url = redis://127.0.0.1:{redis_port}
[admin]
listen = 127.0.0.1:{self.port}
[worker]
startup_wait_ms = 60000
[provider.main]
url = {self.sim.url}
model = sim
""")

    def ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=LIMIT_S) as answer:
                return answer.status == 200
        except OSError:
            assert self.machine.property("ActiveState") != "failed", self.log()
            return False

    def bootstrap(self) -> str:
        """Its own Kafka: this machine's mock of one is of another version than a Debian 13's client."""
        return re.search(r"event=worker_started .*bootstrap=(\S+)", self.log()).group(1)

    def log(self) -> str:
        return self.machine.run("journalctl", "--no-pager", "-u", "chat-worker")


def repacked(deb, folder, version):
    """The same as another version."""
    tree = folder / deb.stem
    run("dpkg-deb", "-R", deb, tree)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"^Version: .*$", f"Version: {version}", control.read_text(), flags=re.M))
    old = folder / deb.name.replace(VERSION, version)
    run("dpkg-deb", "--root-owner-group", "-b", tree, old)
    return old


def test_an_upgrade_restarts_a_service_that_runs_and_asks_nothing(stage, machine, debs, tmp_path):
    """Nor does it start one that doesn't; settings and their rights are those of before, whatever the new version's example is: dpkg asks about conffiles alone."""
    assert "conffiles" not in run("dpkg-deb", "-I", debs["chat-worker"])
    service = Service(stage, machine, {name: repacked(deb, tmp_path, "1.2.2") for name, deb in debs.items()})
    text = service.settings.read_text()
    machine.run("chmod", "660", "/etc/chat-worker/worker.ini")
    machine.run("systemctl", "start", "chat-worker.service")
    wait_until(service.ready, "the service in its group")
    before = machine.property("MainPID")
    machine.install(*debs.values())
    assert machine.run("dpkg-query", "-W", "-f", "${Version} ", "chat-worker", "chat-producer") == f"{VERSION} {VERSION} "
    after = machine.property("MainPID")
    assert after not in (before, "0") and service.log().count("event=worker_stopped") == 1, service.log()
    wait_until(service.ready, "the new one in its group")
    assert service.settings.read_text() == text and machine.run("stat", "-c", "%a", "/etc/chat-worker/worker.ini").strip() == "660"

    machine.run("systemctl", "stop", "chat-worker.service")
    machine.run("apt-get", "install", "-y", "--reinstall", *(f"/root/{deb.name}" for deb in debs.values()))
    assert machine.property("ActiveState") == "inactive"


def test_installed_the_service_answers_a_job_and_is_taken_away_again(stage, machine, debs):
    service = Service(stage, machine, debs)
    assert machine.property("ActiveState") == "inactive", "it has no settings before somebody gives it some"
    assert machine.run("stat", "-c", "%U:%G %a", "/etc/chat-worker/worker.ini", "/etc/chat-worker").split("\n")[:2] == ["root:chat-worker 640", "root:chat-worker 750"]

    machine.run("systemctl", "enable", "--now", "chat-worker.service")
    wait_until(service.ready, "the service in its group")
    pid = machine.property("MainPID")
    machine.run("chat-producer", "-b", service.bootstrap(), "submit", "--id", "first", "--session", "s", "hello")
    assert Topics(service.bootstrap()).reply_of("first")["status"] == "ok"
    machine.run("test", "-f", "/var/lib/chat-worker/crashes")
    assert machine.run("stat", "-c", "%U", f"/proc/{pid}").strip() == "chat-worker"

    machine.run("systemctl", "stop", "chat-worker.service")
    assert (machine.property("Result"), machine.property("ExecMainStatus")) == ("success", "0"), service.log()
    assert "event=worker_stopped" in service.log()

    # Installed again, it keeps the settings and the rights that somebody has set.
    text = service.settings.read_text()
    machine.run("chmod", "600", "/etc/chat-worker/worker.ini")
    machine.run("apt-get", "install", "-y", "--reinstall", f"/root/{debs['chat-worker'].name}")
    assert service.settings.read_text() == text and machine.run("stat", "-c", "%a", "/etc/chat-worker/worker.ini").strip() == "600"

    machine.run("apt-get", "purge", "-y", "chat-worker")
    assert not service.settings.exists() and machine.run("bash", "-c", "ls -d /var/lib/chat-worker /var/lib/private/chat-worker /usr/bin/chat-worker 2>/dev/null || true") == ""
    assert not (machine.root / "etc/systemd/system/multi-user.target.wants/chat-worker.service").is_symlink()
