"""What a cluster's network gives its pods and nodes: an address each, on one bridge, by which all reach each other and what this machine serves. By root alone."""
import itertools
import subprocess

GATEWAY = "10.244.255.254"


def ip(*words: object) -> None:
    subprocess.run(["ip", *map(str, words)], check=True)


class PodNetwork:
    def __init__(self):
        self.pods, self.links, self.nodes = itertools.count(1), itertools.count(1), itertools.count(1)
        # With a hardware address of its own: else it has one of its links', another with each pod that comes or goes, and nobody's packets find it for a while.
        ip("link", "add", "pods", "address", "02:00:00:00:00:01", "type", "bridge")
        ip("address", "add", f"{GATEWAY}/16", "dev", "pods")
        ip("link", "set", "pods", "up")

    def node_address(self) -> str:
        """A further one of this machine's."""
        address = f"10.244.255.{next(self.nodes)}"
        ip("address", "add", f"{address}/16", "dev", "pods")
        return address

    def pod_address(self) -> str:
        number = next(self.pods)
        return f"10.244.{number // 250}.{number % 250 + 1}"

    def join(self, pid: int, address: str) -> None:
        """The process' network name space gets that address, by a link that goes when it ends. A container that is started again in its pod has the link's address again, too."""
        link, mac = f"pod{next(self.links)}", "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", pid)
        ip("link", "set", link, "master", "pods", "up")
        for words in (["address", "add", f"{address}/16", "dev", "eth0"], ["link", "set", "eth0", "up"], ["route", "add", "default", "via", GATEWAY]):
            subprocess.run(["nsenter", f"--target={pid}", "--net", "ip", *words], check=True)
