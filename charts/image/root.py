"""Lays out the image's root file system: root.py PROGRAMS LICENSE ROOT

The programs, the shared libraries they are linked with, with the libraries that those are, and what else they open: authorities,
OpenSSL's settings. Each library is taken as its Debian package brings it, without programs and documentation, and dpkg's status says which
packages those are, where scanners look for it. There is no shell: whatever only a maintainer's script would need is left out with it."""
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Beside those of the libraries: folders and the system's name, authorities, OpenSSL's settings and where it looks for authorities.
PACKAGES = ["base-files", "ca-certificates", "openssl"]
MADE_AT_INSTALLATION = ["/etc/ssl/certs"]
# Programs, pages, translations; character sets that iconv would load (the programs know UTF-8 alone); what packages add to other programs.
LEFT_OUT = re.compile(r"/(usr/)?s?bin/|/usr/share/(?!ca-certificates/|common-licenses/|doc/[^/]+/copyright$)|/(usr/)?lib/[^/]+/gconv/|/usr/lib/ssl/misc/|"
                      r"/etc/(?!ssl/|debian_version$|os-release$|ld\.so\.conf\.d/)|/(var|usr/local)/")
FOLDERS = ["/dev", "/proc", "/sys", "/run", "/tmp", "/etc/chat-worker", "/var/lib/chat-worker"]
USER = 65532
FILES = {
    "/etc/passwd": f"root:x:0:0:root:/root:/usr/sbin/nologin\nchat-worker:x:{USER}:{USER}:chat-worker:/var/lib/chat-worker:/usr/sbin/nologin\n",
    "/etc/group": f"root:x:0:\nchat-worker:x:{USER}:\n",
    "/etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
}


def said(*command: str) -> str:
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout


def libraries_of(programs: list[Path]) -> set[str]:
    found = re.findall(r"(?:=> )?(/\S+) \(0x", said("ldd", *map(str, programs)))
    missing = [line for program in programs for line in said("ldd", str(program)).splitlines() if "not found" in line]
    if missing:
        sys.exit(f"root.py: {missing}")
    return {os.path.realpath(path) for path in found}


def package_of(path: str) -> str:
    """Where /lib is /usr/lib by a link, dpkg knows a file by the name its package has for it."""
    for name in (path, path.removeprefix("/usr")):
        done = subprocess.run(["dpkg-query", "-S", name], text=True, capture_output=True)
        if done.returncode == 0:
            return done.stdout.rpartition(": ")[0]
    sys.exit(f"root.py: {path} is of no Debian package; the image takes libraries from packages alone")


def place(path: str, root: Path) -> Path:
    """In root, with the links of this system's folders followed."""
    folder, name = os.path.split(path.rstrip("/"))
    return root / os.path.join(os.path.realpath(folder), name).lstrip("/")


def take(path: str, root: Path) -> None:
    to = place(path, root)
    if os.path.islink(path) or os.path.isfile(path):
        to.parent.mkdir(parents=True, exist_ok=True)
        if not os.path.lexists(to):
            shutil.copy2(path, to, follow_symlinks=False)


def main() -> None:
    programs, license, root = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    if root.exists():
        sys.exit(f"root.py: {root} is there already")
    for folder in FOLDERS:
        (root / folder[1:]).mkdir(parents=True)
    for link in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{link}"):
            (root / "usr" / link).mkdir(parents=True, exist_ok=True)
            (root / link).symlink_to(os.readlink(f"/{link}"))
    ours = sorted(programs.iterdir())
    packages = sorted({package_of(path) for path in libraries_of(ours)} | set(PACKAGES))
    for package in packages:
        for path in said("dpkg-query", "-L", package).splitlines():
            if not LEFT_OUT.match(path):
                take(path, root)
    for top in MADE_AT_INSTALLATION:
        for folder, _, names in os.walk(top):
            for name in names:
                take(os.path.join(folder, name), root)
    for program in ours:
        shutil.copy2(program, root / "usr/bin" / program.name)
    copyright = root / "usr/share/doc/chat-worker/copyright"
    copyright.parent.mkdir(parents=True)
    shutil.copy2(license, copyright)
    for path, text in FILES.items():
        (root / path[1:]).write_text(text)
    status = root / "var/lib/dpkg/status"
    status.parent.mkdir(parents=True)
    status.write_text("\n".join(said("dpkg-query", "-s", package) for package in packages))
    for folder, folders, names in os.walk(root):
        for path in (os.path.join(folder, name) for name in folders + names):
            os.chown(path, 0, 0, follow_symlinks=False)
    os.chmod(root / "tmp", 0o1777)
    os.chown(root / "var/lib/chat-worker", USER, USER)


main()
