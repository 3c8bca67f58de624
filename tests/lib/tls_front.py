"""Ends TLS and passes the bytes on: tls_front.py CERTIFICATE KEY TO_PORT PORT_FILE NAMED [ADDRESS PORT], on loopback unless told. The host that
each client names (SNI) is a line of NAMED."""
import asyncio
import ssl
import sys
from pathlib import Path


async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def main(certificate, key, to_port, port_file, named, address="127.0.0.1", port=0):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def note(_, host, __):
        with open(named, "a") as journal:
            journal.write(f"{host}\n")

    context.sni_callback = note
    context.load_cert_chain(certificate, key)

    async def serve(reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", int(to_port))
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    server = await asyncio.start_server(serve, address, int(port), ssl=context)
    whole = Path(port_file + ".new")
    whole.write_text(str(server.sockets[0].getsockname()[1]))
    whole.rename(port_file)
    await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
