"""LiteLLM's proxy before other servers of a test: on loopback, without a database. What it would send beyond this machine, prices of
models say, goes to a proxy that the test has (tests/lib/proxy.py), and ends there."""
from __future__ import annotations

import json
import os
import urllib.request
from pathlib import Path

from parts import Process, Proxy, free_port, wait_until

KEY = "sk-litellm"  # its master key: without a database there is no other


def to(server, **more) -> dict:
    """A deployment: an OpenAI-compatible server of the test's."""
    return {"model": f"openai/{server.model}", "api_base": server.url, "api_key": "none", **more}


class LiteLLM(Process):
    def __init__(self, folder: Path, models: dict[str, dict], proxy: Proxy):
        """models: by the name they are asked for, LiteLLM's parameters of each. It tries nothing again: the worker does."""
        port, config = free_port(), folder / "litellm.json"
        config.write_text(json.dumps({  # which is YAML, too
            "model_list": [{"model_name": name, "litellm_params": params} for name, params in models.items()],
            "general_settings": {"master_key": KEY},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True, "optional_pre_call_checks": ["enforce_model_rate_limits"]},
            "litellm_settings": {"telemetry": False, "num_retries": 0}}))
        away = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), proxy.url)
        super().__init__("litellm", folder, [Path(os.environ["CHAT_LITELLM_PYTHON"]).parent / "litellm", "--config", config, "--host", "127.0.0.1", "--port", port, "--telemetry", "False"],
                         env={**away, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1", "LITELLM_MODE": "PRODUCTION", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "NO_DOCS": "True",
                              "DISABLE_ADMIN_UI": "True", "PYTHONUNBUFFERED": "1"})
        self.port, self.url, self.model = port, f"http://127.0.0.1:{port}/v1", "none"

    def wait_ready(self) -> None:
        """It takes a while to begin: the test does other things meanwhile."""
        wait_until(self.answers, "LiteLLM's answer", pause_s=0.2)

    def answers(self) -> bool:
        assert self.process.poll() is None, f"LiteLLM ended: {self.text()[-3000:]}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/liveliness", timeout=10) as answer:
                return answer.status == 200
        except OSError:
            return False

    def refused(self, status: int) -> int:
        """How many questions it has answered with this status, by its own log of requests."""
        return self.text().count(f'"POST /v1/chat/completions HTTP/1.1" {status}')
