"""A provider that plays transcripts: whoever asks "play NAME" gets its bytes, in pieces cut by a seed.

The HTTP around them is this server's: a length, chunks or the connection's end, drawn from seed and name, so that both readers meet
the same. A name is played once to each reader; who comes again has refused what it got, and is told so by an answer that says it (AGAIN)."""
from __future__ import annotations

import gzip
import json
import random
import socket
import socketserver
import threading

AGAIN = "this was asked again"
ANSWER = {"choices": [{"index": 0, "message": {"role": "assistant", "content": AGAIN}, "finish_reason": "stop"}]}
REASONS = {200: "OK", 400: "Bad Request", 429: "Too Many Requests", 500: "Internal Server Error"}


class Player:
    """Runs in the test's own process; a part for Stage."""

    def __init__(self, seed: int):
        self.name, self.seed, self.transcripts, self.asked, self.lock = "player", seed, {}, {}, threading.Lock()
        outer = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self):
                try:
                    while outer.serve(self.rfile, self.connection):
                        pass
                except OSError:
                    pass  # the reader has had enough

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads, allow_reuse_address, request_queue_size = True, True, 1024

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url, self.model = f"http://127.0.0.1:{self.server.server_address[1]}/v1", "played"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def add(self, transcripts) -> None:
        self.transcripts.update((t.name, t) for t in transcripts)

    def times_asked(self, reader: str) -> int:
        with self.lock:
            return self.asked.get(reader, 0)

    def serve(self, rfile, connection: socket.socket) -> bool:
        """One request. False: the connection has ended."""
        headers, line = {}, rfile.readline()
        if not line:
            return False
        while (line := rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        body = json.loads(rfile.read(int(headers["content-length"])))
        reader = body["messages"][-1]["content"].removeprefix("play ")
        with self.lock:
            self.asked[reader] = self.asked.get(reader, 0) + 1
            again = self.asked[reader] > 1
        if again:
            data = json.dumps(ANSWER).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(data), data))
            return True
        return self.play(self.transcripts[reader.partition("@")[0]], connection)

    def play(self, transcript, connection: socket.socket) -> bool:
        draw = random.Random(f"{self.seed} {transcript.name}")
        body = gzip.compress(transcript.body, mtime=0) if transcript.packed else transcript.body
        framing = draw.choice(["length", "chunked"] if transcript.cut else ["length", "chunked", "chunked", "close"])
        lines = [f"HTTP/1.1 {transcript.status} {REASONS.get(transcript.status, 'Status')}", *(f"{name}: {value}" for name, value in transcript.headers)]
        lines += {"length": [f"Content-Length: {len(body) + (100 if transcript.cut else 0)}"], "chunked": ["Transfer-Encoding: chunked"], "close": ["Connection: close"]}[framing]
        pieces = cut(body, draw)
        if framing == "chunked":
            pieces = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces] + ([] if transcript.cut else [b"0\r\n\r\n"])
        connection.sendall("\r\n".join(lines + ["", ""]).encode())
        for piece in pieces:
            connection.sendall(piece)
        return framing != "close" and not transcript.cut

    def text(self) -> str:
        return ""

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def cut(data: bytes, draw: random.Random) -> list[bytes]:
    """Whole, into a few pieces, or into very small ones."""
    count = draw.choice([0, draw.randrange(1, 6), min(len(data), 400)])
    places = sorted({draw.randrange(1, len(data)) for _ in range(count)}) if len(data) > 1 else []
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if b > a]
