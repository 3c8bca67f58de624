"""Images as a runtime pulls them: from the registry that their name tells, unpacked once each."""
import subprocess
import threading
from pathlib import Path

from parts import LIMIT_S


class Images:
    def __init__(self, folder: Path, env: dict[str, str]):
        """env: what skopeo finds its policy and authorities by."""
        self.folder, self.env, self.roots, self.lock = folder / "images", env, {}, threading.Lock()
        self.folder.mkdir(mode=0o755)

    def root(self, reference: str) -> Path:
        with self.lock:
            if reference not in self.roots:
                self.roots[reference] = self._pull(reference, self.folder / str(len(self.roots)))
            return self.roots[reference]

    def _pull(self, reference: str, folder: Path) -> Path:
        folder.mkdir(mode=0o755)
        self._run("skopeo", "copy", f"docker://{reference}", f"oci:{folder}/layout:it")
        self._run("umoci", "unpack", "--image", f"{folder}/layout:it", folder / "bundle")
        return folder / "bundle/rootfs"

    def _run(self, *command) -> None:
        done = subprocess.run([*map(str, command)], text=True, capture_output=True, timeout=LIMIT_S, env=self.env)
        assert done.returncode == 0, f"{command}: {done.stderr[-2000:]}"
