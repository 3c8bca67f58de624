"""What a container's process finds as its root (bubblewrap's words for it): an image's, or this machine's programs and what they load."""
from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pod_network import PodNetwork

LIBRARIES = ("/usr/lib", "/usr/lib64", "/etc/ld.so.cache", "/etc/ssl/certs", "/usr/share/ca-certificates")
STARTER = "/.starter"  # holds this machine's setpriv and what that is linked with: it becomes the user that the pod names, and then the program


def bound(how: str, source, place: str) -> list[str]:
    """bwrap's words for it; the folders above a place would be its own user's alone."""
    above = [word for folder in reversed(PurePosixPath(place).parents[:-1]) for word in ("--dir", str(folder))]
    return [*above, how, str(source), place]


class OwnRoot:
    """What an image of ours holds, of this machine, and the network that the test has. brought: files, by their names in /usr/bin."""
    address = "127.0.0.1"

    def __init__(self, brought: dict[str, Path]):
        self.brought = brought

    def binds(self) -> list[str]:
        words = []
        for path in filter(os.path.exists, LIBRARIES):
            words += bound("--ro-bind", path, path)
        for program, path in self.brought.items():
            words += bound("--ro-bind", path.resolve(), f"/usr/bin/{program}")
        return [*words, "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64"]

    def mounted(self, how: str, source: Path, place: str) -> list[str]:
        return bound(how, source, place)

    def join(self, pid: int) -> None:
        """It is in the network already."""


@dataclass
class ImageRoot:
    """An image's unpacked root, and a network in which the container has its pod's address. files: what else is there in a cluster, names that are known, say."""
    root: Path
    network: PodNetwork
    address: str
    files: dict[str, Path]

    def binds(self) -> list[str]:
        return ["--ro-bind", str(self.root), "/", "--unshare-net", *(word for place, source in self.files.items() for word in self.mounted("--ro-bind", source, place))]

    def mounted(self, how: str, source: Path, place: str) -> list[str]:
        """The place is made where the image hasn't got it, as a runtime makes it in the container's own layer."""
        there = self.root / place[1:]
        if source.is_dir():
            there.mkdir(mode=0o755, parents=True, exist_ok=True)
        else:
            there.touch()
        return [how, str(source), place]

    def join(self, pid: int) -> None:
        self.network.join(pid, self.address)


def starter(folder: Path) -> tuple[Path, list[str]]:
    """What STARTER is, made below the folder, and the words that start setpriv there, whatever the root has."""
    made, program = folder / "starter", "/usr/bin/setpriv"
    libraries = re.findall(r"(/\S+) \(0x", subprocess.run(["ldd", program], check=True, text=True, capture_output=True).stdout)
    loader = next(Path(path).name for path in libraries if Path(path).name.startswith("ld-"))
    if not made.exists():
        made.mkdir()
        for path in (program, *libraries):
            shutil.copy(path, made)
        made.chmod(0o755)
    return made, [f"{STARTER}/{loader}", "--library-path", STARTER, f"{STARTER}/setpriv"]
