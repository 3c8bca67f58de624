"""A provider in the test's own process that answers as a function says: for providers with a mind of their own."""
from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def answer_of(message: dict, **more) -> dict:
    """A whole answer with this message."""
    return {"model": "scripted", "choices": [{"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}], **more}


class ScriptedLlm:
    """answer(request) gives what is sent: (status, body) or (status, body, content type); a body is bytes, or anything that JSON can
    hold. Keeps the requests' bodies, as they came, in `requests`."""

    model, name = "scripted", "scripted llm"

    def __init__(self, answer):
        self.answer, self.requests, self.lock = answer, [], threading.Lock()
        llm = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["content-length"])))
                with llm.lock:
                    llm.requests.append(request)
                status, body, *kind = llm.answer(request)
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                try:
                    self.send_response(status)
                    self.send_header("content-type", kind[0] if kind else "application/json")
                    self.send_header("content-length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                except OSError:
                    self.close_connection = True  # the worker had enough

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 1024

            def handle_error(self, *_):
                pass  # a connection that was cut

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def text(self) -> str:
        return ""

    def end(self) -> None:
        self.server.shutdown()
        self.server.server_close()
