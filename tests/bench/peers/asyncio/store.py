"""Claims and histories in Redis, by the worker's own scripts (worker/redis/scripts).

All calls of one turn of the event loop go as one pipeline, over one of few connections: redis.asyncio's own pool would take a connection
and a round trip a call, at twice the CPU."""
import asyncio
import secrets
import time
from pathlib import Path

import redis.asyncio as redis
from hiredis import pack_command
from redis.exceptions import NoScriptError

CONNECTIONS = 8
LEASE_MS, KEEP_MS, REPLY_TTL_S, SESSION_TTL_S = 600_000, 86_400_000, 86_400, 604_800
TURNS_MAX, HISTORY_BYTES_MAX, APPLIED_MAX, CRASHES_MAX = 20, 262_144, 1000, 1


# In keys: one tag, one slot.
ENCODED = str.maketrans({chr(c): f"%{c:02X}" for c in (*range(32), 127, *b"%{}:")})


class Claim:
    """One job's, under a token of its own."""

    def __init__(self, prefix: str, session: str | None, job: str, fingerprint: str, origin: str):
        self.token, self.job, self.fingerprint, self.origin, self.epoch = secrets.token_hex(16), job, fingerprint, origin, 0
        tag = f"{prefix}:{{{(session or job).translate(ENCODED)}}}"
        self.keys = [f"{tag}:job:{job.translate(ENCODED)}"]
        if session:
            self.keys += [f"{tag}:history", f"{tag}:applied", f"{tag}:applied2"]


class Script:
    def __init__(self, file: Path):
        self.text, self.sha = file.read_text(), None


class PackedByHiredis:
    """redis.asyncio reads with hiredis, but packs in Python."""

    def pack_commands(self, commands) -> list[bytes]:
        return [b"".join(pack_command(tuple(each)) for each in commands)]


class Store:
    def __init__(self, url: str, scripts: Path, prefix: str):
        pool = redis.BlockingConnectionPool.from_url(url, max_connections=CONNECTIONS, timeout=None)
        pool.connection_class = type("Connection", (PackedByHiredis, pool.connection_class), {})
        self.redis = redis.Redis.from_pool(pool)
        self.prefix, self.started_ms, self.incarnation = prefix, int(time.time() * 1000), secrets.token_hex(16)
        self.begin_script, self.finish_script = Script(scripts / "begin.lua"), Script(scripts / "finish.lua")
        self.waiting, self.flushing = [], set()

    async def load(self) -> None:
        for script in (self.begin_script, self.finish_script):
            script.sha = await self.redis.script_load(script.text)

    async def close(self) -> None:
        await self.redis.aclose()

    def claim(self, session: str | None, job: str, fingerprint: str, origin: str) -> Claim:
        return Claim(self.prefix, session, job, fingerprint, origin)

    async def begin(self, claim: Claim) -> list:
        """As begin.lua says. Repeats safely."""
        answer = await self.call(self.begin_script, claim.keys, claim.token, claim.fingerprint, claim.origin, self.incarnation, "", self.started_ms, LEASE_MS,
                                 claim.job, "", KEEP_MS, CRASHES_MAX, HISTORY_BYTES_MAX, -1)
        if answer[0] == b"run":
            claim.epoch = answer[1]
        return answer

    async def finish(self, claim: Claim, end: str, reply: bytes, turn: bytes) -> bytes:
        """As finish.lua says. Repeats safely."""
        return await self.call(self.finish_script, claim.keys, claim.token, end, reply, turn, claim.fingerprint, claim.origin, claim.job, TURNS_MAX,
                               SESSION_TTL_S, REPLY_TTL_S, claim.epoch, APPLIED_MAX)

    async def call(self, script: Script, keys: list, *arguments):
        while True:
            answer = asyncio.get_running_loop().create_future()
            if not self.waiting:
                asyncio.get_running_loop().call_soon(self.flush)
            self.waiting.append((answer, (script.sha, len(keys), *keys, *arguments)))
            try:
                return await answer
            except NoScriptError:  # Redis was restarted
                await self.load()

    def flush(self) -> None:
        task = asyncio.create_task(self.send(self.waiting))
        self.waiting = []
        self.flushing.add(task)
        task.add_done_callback(self.flushing.discard)

    async def send(self, calls: list) -> None:
        pipeline = self.redis.pipeline(transaction=False)
        for _, arguments in calls:
            pipeline.evalsha(*arguments)
        try:
            results = await pipeline.execute(raise_on_error=False)
        except Exception as why:  # noqa: BLE001  whoever called is told
            results = [why] * len(calls)
        for (answer, _), result in zip(calls, results, strict=True):
            if answer.cancelled():
                continue
            if isinstance(result, Exception):
                answer.set_exception(result)
            else:
                answer.set_result(result)
