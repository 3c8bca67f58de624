"""A provider that answers exactly what a test says: for bytes that the simulator doesn't send.

A script is a function of the request's body (as JSON) and its number; it returns (status, body), (status, body, headers), or a
list of pieces of a stream. A body is bytes, a text, or what becomes JSON. With the header `Connection: close` the script's
server waits for the client's close: by then the client has read it all (Scripted.read counts)."""
from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer(content="hi", **message) -> dict:
    """An answer in the usual form; more members of the message by name."""
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}, "model": "scripted"}


def answer_of(message: dict) -> dict:
    """An answer with this message, and without usage."""
    return {"model": "scripted", "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}]}


def delta(**members) -> bytes:
    return event({"choices": [{"index": 0, "delta": members}]})


def event(data) -> bytes:
    return b"data: " + (data if isinstance(data, bytes) else json.dumps(data).encode()) + b"\n\n"


DONE = event({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + event(b"[DONE]")


class Scripted:
    """Runs in the test's own process; a part for Stage.add."""

    def __init__(self, script):
        self.name, self.script, self.requests, self.lock = "scripted", script, [], threading.Lock()
        self.read = threading.Semaphore(0)
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.requests.append(body)
                    number = len(outer.requests)
                said = outer.script(body, number)
                try:
                    self.stream(said) if isinstance(said, list) else self.whole(*said)
                except OSError:
                    self.close_connection = True  # the client has cut it short

            def whole(self, status, body, headers=()):
                data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **dict(headers)}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                if self.close_connection:
                    self.wfile.flush()
                    while self.connection.recv(4096):
                        pass
                    outer.read.release()

            def stream(self, pieces):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                for piece in pieces:
                    if callable(piece):
                        piece()  # a point at which the test holds the stream
                        continue
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 1024

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url, self.model = f"http://127.0.0.1:{self.server.server_port}/v1", "scripted"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def text(self) -> str:
        """Its journal, for the report of a failed test."""
        return "\n".join(json.dumps(body) for body in self.requests)

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
