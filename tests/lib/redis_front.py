"""A Redis before a Redis: it passes everything on, but for the scripts that it is told to refuse, in whatever words, and for
answers that it is told to hold back."""
import hashlib
import socket
import threading
from pathlib import Path

SCRIPTS = {path.stem: hashlib.sha1(path.read_bytes()).hexdigest().encode() for path in (Path(__file__).resolve().parents[2] / "worker").glob("*/scripts/*.lua")}


class Front:
    name = "front"

    def __init__(self, folder: Path, redis):
        self.behind = str(redis.socket)
        self.socket = folder / "front.sock"
        self.url = f"unix://{self.socket}"
        self.lock = threading.Lock()
        self.sha, self.words, self.only, self.refused = None, "", b"", 0
        self.owed = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(self.socket))
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def refuse(self, script: str | None, text: str = "", only: str = "") -> None:
        """From now on, instead of running it, where a key has `only` in it; None: nothing is refused."""
        with self.lock:
            self.sha, self.words, self.only = script and SCRIPTS[script], text, only.encode()

    def owe(self, count: int) -> None:
        """The next so many answers come together with the one to their connection's next command, if there is one."""
        with self.lock:
            self.owed += count

    def text(self) -> str:
        return f"{self.refused} calls refused"

    def end(self) -> None:
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _answer(self, words) -> bytes | None:
        with self.lock:
            if words[0] != b"EVALSHA" or words[1] != self.sha or self.only not in words[3]:
                return None
            self.refused += 1
            return b"-" + self.words.encode() + b"\r\n"

    def _owes(self) -> bool:
        with self.lock:
            owes = self.owed > 0
            self.owed -= owes
            return owes

    def _serve(self, client) -> None:
        with client, socket.socket(socket.AF_UNIX) as server:
            server.connect(self.behind)
            commands, replies, held = client.makefile("rb"), server.makefile("rb"), b""
            try:
                while raw := self._value(commands):
                    answer = self._answer(self._words(raw))
                    if answer is None:
                        server.sendall(raw)
                        answer = self._value(replies)
                    held += answer
                    if not self._owes():
                        client.sendall(held)
                        held = b""
            except OSError:
                pass

    def _value(self, stream) -> bytes:
        """One value of the protocol, as it came; empty at the end."""
        line = stream.readline()
        count = int(line[1:]) if line[:1] in b"$*" and line else -1
        if line[:1] == b"$" and count >= 0:
            return line + stream.read(count + 2)
        if line[:1] == b"*" and count >= 0:
            return line + b"".join(self._value(stream) for _ in range(count))
        return line

    @staticmethod
    def _words(raw: bytes) -> list[bytes]:
        words, at = [], raw.index(b"\n") + 1
        while at < len(raw):
            end = raw.index(b"\r", at)
            size = int(raw[at + 1:end])
            words.append(raw[end + 2:end + 2 + size])
            at = end + 2 + size + 2
        return words
