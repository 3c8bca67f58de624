"""What a kubelet makes of a pod's objects before its container starts: volumes as files, and variables."""
from __future__ import annotations

import base64
import os
import re
from pathlib import Path

IMAGE_ENV = {"PATH": "/usr/bin"}


def volume_files(cluster, namespace: str, volume: dict) -> dict[str, bytes]:
    """What a volume of a ConfigMap or a Secret holds, by path."""
    if "configMap" in volume:
        found, source = cluster.object("configmap", volume["configMap"]["name"], namespace), volume["configMap"]
        all_files = {name: text.encode() for name, text in found.get("data", {}).items()} | {name: base64.b64decode(text) for name, text in found.get("binaryData", {}).items()}
    else:
        found, source = cluster.object("secret", volume["secret"]["secretName"], namespace), volume["secret"]
        all_files = {name: base64.b64decode(text) for name, text in found.get("data", {}).items()}
    if "items" in source:
        return {item["path"]: all_files[item["key"]] for item in source["items"]}
    return all_files


def write_volume(folder: Path, files: dict[str, bytes], mode: int, group: int | None) -> None:
    """As a kubelet does: the files lie in a folder of their own to which a link leads, so that a change comes whole. fsGroup owns and may read them."""
    held = folder / "..2026_01_01_00_00_00.000000000"
    held.mkdir(parents=True)
    for name, content in files.items():
        path = held / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        path.chmod(mode | (0o440 if group is not None else 0))
        (folder / name.split("/")[0]).symlink_to(f"..data/{name.split('/')[0]}")
    (folder / "..data").symlink_to(held.name)
    for path in (folder, held, *(each for each in held.rglob("*") if each.is_dir())):
        path.chmod(0o2750 if group is not None else 0o755)
    if group is not None and os.getuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, 0, group, follow_symlinks=False)


def variables(cluster, namespace: str, pod: dict, container: dict) -> dict[str, str]:
    """Those of the image, those that a kubelet gives any container, and the container's own."""
    def of(kind: str, reference: dict) -> dict[str, str]:
        data = cluster.object(kind, reference["name"], namespace).get("data", {})
        return {name: base64.b64decode(text).decode() for name, text in data.items()} if kind == "secret" else data

    env = {**IMAGE_ENV, "HOSTNAME": pod["metadata"]["name"], "KUBERNETES_SERVICE_HOST": "10.96.0.1", "KUBERNETES_SERVICE_PORT": "443", "KUBERNETES_PORT": "tcp://10.96.0.1:443"}
    for each in container.get("envFrom", []):
        kind = "secret" if "secretRef" in each else "configmap"
        env |= {each.get("prefix", "") + name: text for name, text in of(kind, each["secretRef" if kind == "secret" else "configMapRef"]).items()}
    for each in container.get("env", []):
        source = each.get("valueFrom", {})
        if "secretKeyRef" in source:
            env[each["name"]] = of("secret", source["secretKeyRef"])[source["secretKeyRef"]["key"]]
        elif "configMapKeyRef" in source:
            env[each["name"]] = of("configmap", source["configMapKeyRef"])[source["configMapKeyRef"]["key"]]
        elif "fieldRef" in source:
            name = source["fieldRef"]["fieldPath"].removeprefix("metadata.")
            env[each["name"]] = pod["metadata"][name]
        else:
            assert not source, f"this kubelet has no valueFrom of {source}"
            env[each["name"]] = expanded(each.get("value", ""), env)
    return env


def expanded(text: str, env: dict[str, str]) -> str:
    """$(NAME) is the variable, $$(NAME) is $(NAME); of no variable it stays."""
    return re.sub(r"\$\$\(|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)", lambda found: "$(" if found[1] is None else env.get(found[1], found[0]), text)
