"""A provider that sends exactly the bytes a test says, over a plain connection or TLS.

A script is a function of the connection (Connection) that is called for each request, with its number over all connections, from 1. What it
returns is sent; None: nothing. Afterwards the connection is kept for the next request, unless the script closed or reset it."""
from __future__ import annotations

import socket
import ssl
import struct
import threading


class Connection:
    def __init__(self, sock):
        self.socket, self.buffer, self.head, self.body = sock, b"", b"", b""

    def receive(self) -> bool:
        """More bytes into the buffer; False: the client has closed."""
        data = self.socket.recv(65536)
        self.buffer += data
        return bool(data)

    def read_head(self) -> bool:
        while b"\r\n\r\n" not in self.buffer:
            if not self.receive():
                return False
        self.head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return True

    def length(self) -> int:
        return next(int(line[15:]) for line in self.head.split(b"\r\n") if line.lower().startswith(b"content-length:"))

    def read_body(self) -> None:
        while len(self.buffer) < self.length() and self.receive():
            pass
        self.body, self.buffer = self.buffer[:self.length()], self.buffer[self.length():]

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def drip(self, data: bytes) -> None:
        """A byte at a time, in records or packets of their own."""
        for i in range(len(data)):
            self.socket.sendall(data[i:i + 1])

    def close(self) -> None:
        """As a server closes that has said all: over TLS with its notice."""
        if isinstance(self.socket, ssl.SSLSocket):
            try:
                self.socket.unwrap()
            except OSError:
                pass
        self.socket.close()

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


class RawServer:
    """Runs in the test's own process; a part for Stage.add."""

    def __init__(self, script, identity=None, early=()):
        """identity: certificate and key, for TLS. early: numbers of requests whose script is called before their body is read."""
        self.name, self.script, self.early, self.model = "raw", script, early, "raw"
        self.lock, self.connections, self.requests, self.open, self.ended = threading.Lock(), 0, 0, set(), False
        self.context = None
        if identity is not None:
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.context.load_cert_chain(*identity)
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"{'https' if identity else 'http'}://127.0.0.1:{self.listener.getsockname()[1]}/v1"
        self.thread = threading.Thread(target=self.accept, daemon=True)
        self.thread.start()

    def accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with self.lock:
                self.open.add(sock)
                if self.ended:
                    return
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            connection = Connection(self.context.wrap_socket(sock, server_side=True) if self.context else sock)
            with self.lock:
                self.connections += 1
                self.open.add(connection.socket)
            while connection.read_head():
                with self.lock:
                    self.requests += 1
                    number = self.requests
                if number not in self.early:
                    connection.read_body()
                answer = self.script(connection, number)
                if answer is not None:
                    connection.send(answer)
        except (OSError, ValueError):
            pass  # the client, or the script, has closed it

    def text(self) -> str:
        return f"{self.requests} requests over {self.connections} connections\n"

    def end(self) -> None:
        with self.lock:
            self.ended = True
            for sock in (self.listener, *self.open):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                sock.close()
        self.thread.join()
