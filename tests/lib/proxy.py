"""An HTTP proxy on loopback: proxy.py PORT_FILE JOURNAL [STATUS]. Whatever host is asked for, it goes to that port of this machine. Each
request is a line of JSON in JOURNAL. STATUS: it refuses all with it."""
import asyncio
import json
import sys
from pathlib import Path
from urllib.parse import urlsplit


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main(port_file, journal, status=None):
    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        first, *rest = head.decode().split("\r\n")
        method, target, version = first.split()
        headers = dict(line.split(": ", 1) for line in rest if line)
        with open(journal, "a") as out:
            out.write(json.dumps({"method": method, "target": target, "headers": headers}) + "\n")
        if status is not None:
            writer.write(f"HTTP/1.1 {status} Refused\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
            writer.close()
            return
        parts = urlsplit(target if method != "CONNECT" else f"//{target}")
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", parts.port)
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
        else:
            path = parts.path + (f"?{parts.query}" if parts.query else "")
            there_writer.write(f"{method} {path} {version}\r\n".encode() + "\r\n".join([*rest[:-2], "Connection: close", "", ""]).encode())
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    whole = Path(port_file + ".new")
    whole.write_text(str(server.sockets[0].getsockname()[1]))
    whole.rename(port_file)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
