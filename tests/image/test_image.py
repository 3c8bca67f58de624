"""charts/image: what is in the image, that it is made again to the bit, and that the worker runs in it as the chart starts it."""
import hashlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest
from conftest import EPOCH, REVISION, SAID, VERSION, Image, ImagesWorker, build, run_in
from parts import LIMIT_S, ROOT, Process, Topics, free_port, wait_until

USER = 65532


def files_of(root: Path) -> dict[str, tuple]:
    """By name: kind and rights, owner, time, and content or target."""
    found = {}
    for folder, folders, names in os.walk(root):
        for path in (Path(folder) / name for name in folders + names):
            at = path.lstat()
            content = os.readlink(path) if path.is_symlink() else hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found[str(path.relative_to(root))] = (stat.filemode(at.st_mode), at.st_uid, at.st_gid, int(at.st_mtime), content)
    return found


def differing(one: dict, other: dict) -> dict:
    return {name: (one.get(name), other.get(name)) for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)}


def copy_tree(to: Path) -> Path:
    """Of this tree, with other times."""
    shutil.copytree(ROOT, to, copy_function=shutil.copy, ignore=lambda folder, names: {".git", "build"} if Path(folder) == ROOT else {"__pycache__"})
    return to


def packages_of(root: Path) -> dict[str, str]:
    said = subprocess.run(["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Package} ${Version}\n"], text=True, capture_output=True, timeout=LIMIT_S)
    assert said.returncode == 0, said.stderr
    return dict(line.split() for line in said.stdout.splitlines())


# ---- how it is made ----


def test_made_again_elsewhere_it_is_the_same_to_the_bit(image, root, tmp_path):
    """From a copy that has another path, other times and no git, by another umask, locale and time zone."""
    tree = copy_tree(tmp_path / "another folder")
    umask = os.umask(0o077)
    try:
        again = Image(tmp_path, build(tree, tmp_path, TZ="Pacific/Kiritimati", LC_ALL="C.UTF-8", **SAID))
        same = differing(files_of(root), files_of(again.unpack(tmp_path / "bundle")))
    finally:
        os.umask(umask)
    assert same == {}
    assert again.digest == image.digest
    assert again.spdx.read_bytes() == image.spdx.read_bytes()


def test_the_dockerfile_makes_the_same(root, engine, base):
    engine("build", "--isolation", "chroot", "--network", "host", "--build-arg", f"BASE={base}", *(part for pair in SAID.items() for part in ("--build-arg", "=".join(pair))),
           "-f", ROOT / "charts/image/Dockerfile", "-t", "by-dockerfile", ROOT)
    container = engine("from", "by-dockerfile")
    assert differing(files_of(root), files_of(Path(engine("mount", container)))) == {}
    config = json.loads(engine("inspect", "--type", "image", "by-dockerfile"))["OCIv1"]["config"]
    config["Labels"].pop("io.buildah.version")
    assert config == {name: value for name, value in CONFIG.items() if name != "WorkingDir"}, "the folder it starts in is / by default"


@pytest.fixture
def engine(tmp_path):
    """buildah, with a store of its own."""
    store = tmp_path / "store"

    def run(*arguments) -> str:
        done = subprocess.run(["buildah", "--root", store / "root", "--runroot", store / "run", *map(str, arguments)], text=True, capture_output=True, timeout=10 * LIMIT_S)
        assert done.returncode == 0, f"{arguments}: {done.stdout[-2000:]} {done.stderr[-2000:]}"
        return done.stdout.strip()

    try:
        yield run
    finally:
        for container in run("containers", "-q").split():
            run("umount", container)
            run("rm", container)
        run("rmi", "--all", "--force")


@pytest.fixture
def base(engine, image):
    """The Debian that the other image was made in, in the place of the one from a registry."""
    container = engine("from", "scratch")
    subprocess.run(["cp", "-a", f"{image.debian}/.", engine("mount", container)], check=True, timeout=LIMIT_S)
    engine("umount", container)
    engine("commit", "-q", "--rm", container, "base")
    return "localhost/base"


@pytest.mark.parametrize(("arguments", "env", "status", "said"), [
    (["--suite", "sid", "out"], {}, 64, "usage"),
    ([], {}, 64, "usage"),
    (["there"], {}, 73, "is there already"),
    (["out"], {"SOURCE_DATE_EPOCH": EPOCH, "GIT_DIR": "/nonexistent"}, 64, "VERSION"),
])
def test_what_it_refuses(arguments, env, status, said, tmp_path):
    (tmp_path / "there/image").mkdir(parents=True)
    done = subprocess.run([ROOT / "charts/image/build", *arguments], text=True, capture_output=True, timeout=LIMIT_S, cwd=tmp_path, env={**os.environ, **env})
    assert done.returncode == status and said in done.stderr, done.stderr


def test_without_the_right_to_make_namespaces_it_says_so(tmp_path):
    tree = copy_tree(tmp_path / "tree")
    for folder in (tmp_path, *tmp_path.parents):
        if not folder.stat().st_mode & 0o001:
            folder.chmod(0o755)  # that user comes by
    (tmp_path / "cache").mkdir()
    os.chown(tmp_path / "cache", USER, USER)
    done = subprocess.run(["setpriv", "--reuid", str(USER), "--regid", str(USER), "--clear-groups", tree / "charts/image/build", tmp_path / "cache/out"], text=True, capture_output=True,
                          timeout=LIMIT_S, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path / "cache"), **SAID})
    assert (done.returncode, "/etc/subuid" in done.stderr) == (77, True), done.stderr  # that user has no range of ids


def test_of_a_debian_13_it_is_made_too(tmp_path):
    """Whose hiredis has TLS."""
    build(ROOT, "--suite", "trixie", tmp_path, **SAID)
    root = Image(tmp_path, "").unpack(tmp_path / "bundle")
    assert 'VERSION_CODENAME=trixie' in (root / "usr/lib/os-release").read_text()
    needed = ("-X", "kafka.bootstrap.servers=127.0.0.1:1", "-X", "redis.url=rediss://127.0.0.1:1", "-X", "provider.main.url=https://a", "-X", "provider.main.model=m")
    done = run_in(root, "/usr/bin/chat-worker", "--check-config", *needed)
    assert (done.returncode, done.stdout) == (0, "settings are valid\n"), done.stderr
    assert run_in(root, "/usr/bin/chat-producer", "--version").stdout == f"chat-producer {VERSION}\n"


# ---- what is in it ----

CONFIG = {"User": "65532:65532", "Env": ["PATH=/usr/bin"], "Entrypoint": ["/usr/bin/chat-worker"], "WorkingDir": "/", "StopSignal": "SIGTERM",
          "Labels": {"org.opencontainers.image.title": "chat-worker", "org.opencontainers.image.version": VERSION, "org.opencontainers.image.revision": REVISION,
                     "org.opencontainers.image.licenses": "Apache-2.0"}}


def test_how_it_starts_is_in_its_configuration(image):
    def blob(descriptor):
        text = (image.layout / "blobs" / descriptor["digest"].replace(":", "/")).read_bytes()
        assert len(text) == descriptor["size"] and "sha256:" + hashlib.sha256(text).hexdigest() == descriptor["digest"]
        return text

    (named,) = json.loads((image.layout / "index.json").read_text())["manifests"]
    assert named["digest"] == image.digest and named["annotations"] == {"org.opencontainers.image.ref.name": "latest"}
    manifest = json.loads(blob(named))
    config = json.loads(blob(manifest["config"]))
    assert config["config"] == CONFIG
    assert (config["os"], config["created"]) == ("linux", "2023-11-14T22:13:20Z") and len(config["history"]) == len(manifest["layers"]) == 1
    assert {path.name for path in (image.layout / "blobs/sha256").iterdir()} == {each["digest"][7:] for each in (named, manifest["config"], *manifest["layers"])}


def test_there_is_no_program_but_ours(root):
    assert sorted(path.name for path in (root / "usr/bin").iterdir()) == ["chat-producer", "chat-worker"] and list((root / "usr/sbin").iterdir()) == []
    assert [path for path in root.rglob("*") if path.is_file() and path.read_bytes().startswith(b"#!")] == []


def test_nothing_in_it_gives_rights_away(root):
    for path in root.rglob("*"):
        at, name = path.lstat(), str(path.relative_to(root))
        assert (at.st_uid, at.st_gid) == ((USER, USER) if name == "var/lib/chat-worker" else (0, 0)), name
        if not path.is_symlink():
            assert at.st_mode & (stat.S_ISUID | stat.S_ISGID | 0o002) == (0o002 if name == "tmp" else 0), name
            assert at.st_mode & 0o444 == 0o444, f"{name} can be read by whoever it runs as"
        assert int(at.st_mtime) == int(EPOCH), name
    for path in (path for path in root.rglob("*") if path.is_symlink()):
        target = path.readlink()
        assert os.path.lexists(root / str(target).lstrip("/") if target.is_absolute() else path.parent / target) or str(target) == "/etc/ssl/private", f"{path} leads nowhere"


def test_nothing_of_the_folder_it_was_made_in_is_in_the_programs(root):
    for name in ("chat-worker", "chat-producer"):
        program = (root / "usr/bin" / name).read_bytes()
        assert re.findall(rb"/tmp/tmp\.[\w./]*|/source/[\w./]*", program) == [] and str(ROOT).encode() not in program
        assert b".debug_info" not in program, "stripped"


def test_its_packages_are_told(image, root):
    packages = packages_of(root)
    assert {"base-files", "ca-certificates", "libc6", "librdkafka1", "openssl"} <= packages.keys()
    for name in packages:
        assert (root / "usr/share/doc" / name / "copyright").is_file(), f"{name} has its license"
    told = json.loads(image.spdx.read_text())
    assert {package["name"]: package["versionInfo"] for package in told["packages"]} == {**packages, "chat-worker": VERSION}
    declared = {package["name"]: package["licenseDeclared"] for package in told["packages"]}
    assert (declared["chat-worker"], declared["zlib1g"], declared["libc6"]) == ("Apache-2.0", "Zlib", "NOASSERTION")
    locators = {package["name"]: package["externalRefs"][0]["referenceLocator"] for package in told["packages"] if "externalRefs" in package}
    assert re.fullmatch(r"pkg:deb/debian/zlib1g@1%3A1[\w.%+-]+\?arch=\w+&distro=\w+", locators["zlib1g"])
    for program in ("chat-worker", "chat-producer"):
        assert hashlib.sha256((root / "usr/bin" / program).read_bytes()).hexdigest() in told["packages"][0]["comment"]


def test_spdx_s_own_tools_find_no_fault(image, tmp_path):
    def judged(file):
        return subprocess.run([Path(os.environ["CHAT_SPDX_PYTHON"]).parent / "pyspdxtools", "--infile", file, "--version", "SPDX-2.3"], text=True, capture_output=True, timeout=LIMIT_S)

    assert judged(image.spdx).returncode == 0, judged(image.spdx).stderr[-3000:]
    told = json.loads(image.spdx.read_text())
    told["packages"][1]["licenseDeclared"] = "Nobody-1.0"
    wrong = tmp_path / "wrong.spdx.json"
    wrong.write_text(json.dumps(told))
    assert judged(wrong).returncode != 0


def test_its_authorities_are_debian_s_alone(root):
    """Both ways by which OpenSSL finds them; none of this machine's own."""
    bundle = re.findall("BEGIN CERTIFICATE", (root / "etc/ssl/certs/ca-certificates.crt").read_text())
    brought = list((root / "usr/share/ca-certificates/mozilla").iterdir())
    assert len(bundle) == len(brought) > 100
    assert (root / "usr/lib/ssl/certs").readlink() == Path("/etc/ssl/certs") and (root / "etc/ssl/openssl.cnf").is_file()
    assert len(list((root / "etc/ssl/certs").glob("*.0"))) > 100


def test_pushed_to_a_registry_it_has_the_digest_that_was_printed(image, stage):
    """As the chart's page says."""
    port, config = free_port(), stage.folder / "registry.yml"
    config.write_text(f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {stage.folder}/registry}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n")
    registry = stage._add(Process("registry", stage.folder, [os.environ["CHAT_REGISTRY"], "serve", config]))
    wait_until(lambda: "listening on" in registry.text(), "the registry")
    there = f"docker://127.0.0.1:{port}/chat-worker"

    def skopeo(*arguments):
        done = subprocess.run(["skopeo", *map(str, arguments)], text=True, capture_output=True, timeout=LIMIT_S)
        assert done.returncode == 0, done.stderr
        return done.stdout

    skopeo("--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false", f"oci:{image.layout}:latest", f"{there}:1")
    assert json.loads(skopeo("--insecure-policy", "inspect", "--tls-verify=false", f"{there}@{image.digest}"))["Digest"] == image.digest


# ---- the programs in it ----


def test_they_say_their_version(root):
    for program in ("chat-worker", "chat-producer"):
        done = run_in(root, f"/usr/bin/{program}", "--version")
        assert (done.returncode, done.stdout) == (0, f"{program} {VERSION}\n"), done.stderr


def test_the_root_is_read_only_and_the_user_is_none_of_the_system_s(root):
    """That the next tests show what they say they do."""
    done = run_in(root, "/usr/bin/chat-worker", "-X", "kafka.bootstrap.servers=127.0.0.1:1", "-X", "worker.crash_file=/tmp/crashes", "--check-config", "-X", "provider.main.url=http://a", "-X", "provider.main.model=m")
    assert done.returncode == 78 and "Read-only file system" in done.stderr, done.stderr


class World:
    def __init__(self, stage):
        port = free_port()
        self.stage, self.kafka, self.sim = stage, stage.kafka_mock(chat_jobs=4, chat_replies=4, chat_dead=4, chat_control=1), stage.simulator()
        stage.redis("--port", str(port), "--bind", "127.0.0.1")
        self.settings = {"kafka.bootstrap.servers": self.kafka.bootstrap, "redis.url": f"redis://127.0.0.1:{port}", "provider.main.model": "sim", "log.level": "debug"}
        self.topics = Topics(self.kafka.bootstrap)

    def worker(self, root, llm, mounts=(), **settings):
        worker = ImagesWorker(self.stage, root, mounts, **self.settings, **{"provider.main.url": llm.url, **settings})
        worker.wait_event("worker_started")
        wait_until(lambda: worker.get("/readyz")[0] == 200, "the worker in its group")
        return worker


@pytest.fixture
def world(stage):
    return World(stage)


def test_a_job_is_answered_and_TERM_ends_it_well(world, root):
    worker = world.worker(root, world.sim)
    asked = run_in(root, "/usr/bin/chat-producer", "-b", world.kafka.bootstrap, "submit", "--id", "first", "--session", "s", "hello")
    assert asked.returncode == 0, asked.stderr
    assert world.topics.reply_of("first")["status"] == "ok"
    assert worker.get("/healthz")[0] == 200 and "chat_jobs_" in worker.get("/metrics")[1]
    assert (worker.state / "crashes").exists() and (worker.state / "crashes").stat().st_uid == USER
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert worker.events("worker_stopped", left=0)
    assert [line for line in worker.text().splitlines() if "level=error" in line] == []


def authorities(root: Path, folder: Path, *more: Path) -> Path:
    """The image's, and others as ca-certificates would add them: to the bundle, and by their hash."""
    folder.mkdir()
    for path in (root / "etc/ssl/certs").iterdir():
        shutil.copy(path, folder, follow_symlinks=False)
    for one in more:
        shutil.copy(one, folder / one.name)
        with open(folder / "ca-certificates.crt", "a") as bundle:
            bundle.write(one.read_text())
        name = subprocess.run(["openssl", "x509", "-noout", "-hash", "-in", one], check=True, text=True, capture_output=True).stdout.strip()
        (folder / f"{name}.0").symlink_to(one.name)
    return folder


@pytest.mark.parametrize("known", [True, False])
def test_an_https_provider_is_checked_against_its_authorities(world, root, known):
    front = world.stage.tls_front(world.sim)
    folder = authorities(root, world.stage.folder / "authorities", *([front.ca] if known else []))
    worker = world.worker(root, front, [(folder, "/etc/ssl/certs")], **{"retry.attempts_max": "1"})
    world.topics.send({"id": "j", "message": "hi"}, key="s")
    if known:
        assert world.topics.reply_of("j")["status"] == "ok"
    else:
        wait_until(lambda: "certificate" in worker.text(), "the handshake's failure in the log")
        assert world.sim.stats()["requests"] == 0
