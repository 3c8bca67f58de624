"""The worker's journey on asyncio: aiokafka, aiohttp, redis.asyncio with hiredis, uvloop, orjson. What it guarantees: ../README.md.

  worker.py BOOTSTRAP REDIS_URL LLM_URL IN_FLIGHT SCRIPTS JOBS_TOPIC REPLIES_TOPIC GROUP

Runs until TERM; then ends what is under way, commits and leaves the group. CHAT_PEER_STREAM=1: answers are asked for as streams."""
import asyncio
import gc
import os
import random
import signal
import sys
from collections import deque
from hashlib import blake2b
from pathlib import Path

import aiohttp
import orjson
import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRebalanceListener, TopicPartition
from offsets import Offsets
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from store import Store

COMMIT_EVERY_S = 1
READ_AHEAD = 1000  # records that are taken beyond those that may be under way
LINGER_MS = 5
ATTEMPTS, BACKOFF_S, ATTEMPT_TIMEOUT_S = 5, 0.2, 120
REDIS_BACKOFF_S = 0.5
STREAM = os.environ.get("CHAT_PEER_STREAM") == "1"


class Failed(Exception):
    """The job ends with an error reply."""

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code


def error_reply(job: str, session: str | None, code: str, message: str) -> bytes:
    return orjson.dumps({"job": job, "session": session, "status": "error", "error": {"code": code, "message": message}})


async def folded(lines) -> dict:
    """The message that a stream's events come to; ValueError: it ends before [DONE]."""
    said = []
    async for line in lines:
        if not line.startswith(b"data: "):
            continue
        if line.startswith(b"data: [DONE]"):
            return {"role": "assistant", "content": "".join(said)}
        said += [choice["delta"].get("content") or "" for choice in orjson.loads(line[6:])["choices"]]
    raise ValueError("the stream ends before its end")


class Journey:
    """One job's way, from its record to its stored reply."""

    def __init__(self, llm_url: str, http: aiohttp.ClientSession, store: Store):
        self.llm_url, self.http, self.store = llm_url, http, store

    async def run(self, record) -> bytes | None:
        """The reply to publish; None: another worker ended the job."""
        origin = f"{record.topic}-{record.partition}-{record.offset}"
        try:
            job = orjson.loads(record.value)
            name, message, session = job.get("id", origin), job["message"], session_of(job, record)
        except (ValueError, KeyError, AttributeError):
            return error_reply(origin, None, "invalid_job", "not a job")
        claim = self.store.claim(session, name, blake2b(record.value, digest_size=16).hexdigest(), origin)
        begun = await self.begin(claim)
        if begun[0] == b"done":
            return begun[2]
        if begun[0] != b"run":
            return error_reply(name, session, begun[0].decode(), "the job can't be claimed")
        try:
            said = await self.ask(message, begun[5])
        except Failed as why:
            reply = error_reply(name, session, why.code, str(why))
            return await self.finish(claim, "dead", reply, b"")
        reply = orjson.dumps({"job": name, "session": session, "status": "ok", "message": said})
        return await self.finish(claim, "ok", reply, orjson.dumps({"job": name, "messages": [{"role": "user", "content": message}, said]}))

    async def begin(self, claim) -> list:
        while True:
            begun = await self.stored(self.store.begin, claim)
            if begun[0] != b"busy":
                return begun
            await asyncio.sleep(min(begun[1], 1000) / 1000)

    async def ask(self, message: str, turns: list) -> dict:
        messages = [each for turn in turns for each in orjson.loads(turn)["messages"]]
        messages.append({"role": "user", "content": message})
        body = orjson.dumps({"model": "sim", "messages": messages, "stream": STREAM})
        for attempt in range(ATTEMPTS):
            if attempt:
                await asyncio.sleep(BACKOFF_S * 2 ** attempt * random.uniform(0.5, 1))
            try:
                async with self.http.post(self.llm_url, data=body) as answer:
                    if STREAM and answer.status == 200:
                        return await folded(answer.content)
                    text = await answer.read()
                if answer.status == 200:
                    return orjson.loads(text)["choices"][0]["message"]
                if answer.status != 429 and answer.status < 500:
                    raise Failed("refused", f"the LLM answers {answer.status}")
            except (aiohttp.ClientError, TimeoutError, ValueError, LookupError):
                pass  # once more
        raise Failed("attempts_exhausted", "the LLM doesn't answer")

    async def finish(self, claim, end: str, reply: bytes, turn: bytes) -> bytes | None:
        return reply if await self.stored(self.store.finish, claim, end, reply, turn) == b"done" else None

    async def stored(self, call, *arguments):
        """Both scripts repeat safely under one token."""
        while True:
            try:
                return await call(*arguments)
            except (RedisConnectionError, RedisTimeoutError):
                await asyncio.sleep(REDIS_BACKOFF_S)


def session_of(job: dict, record) -> str | None:
    return job.get("session") or (record.key.decode() if record.key else None)


class Worker(ConsumerRebalanceListener):
    """Takes records, keeps a session's in their order, publishes replies, commits."""

    def __init__(self, consumer: AIOKafkaConsumer, producer: AIOKafkaProducer, replies_topic: str, journey: Journey, in_flight: int):
        self.consumer, self.producer, self.replies_topic, self.journey = consumer, producer, replies_topic, journey
        self.slots, self.taken, self.taken_max, self.room = asyncio.Semaphore(in_flight), 0, in_flight + READ_AHEAD, asyncio.Event()
        self.lanes, self.offsets, self.tasks = {}, Offsets(), set()
        self.stopping, self.failure = asyncio.Event(), None

    async def run(self) -> None:
        committing, taking = asyncio.create_task(self.commit_steadily()), asyncio.create_task(self.take_steadily())
        await self.stopping.wait()
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
        if not self.failure:
            await asyncio.gather(*self.tasks)
            await self.producer.flush()
            await asyncio.sleep(0)  # the acknowledgements' callbacks
        committing.cancel()
        await self.commit()
        if self.failure:
            raise self.failure

    def stop(self, failure: BaseException | None = None) -> None:
        self.failure = self.failure or failure
        self.stopping.set()

    def watch(self, task: asyncio.Task) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and task.exception():
            self.stop(task.exception())

    async def take_steadily(self) -> None:
        try:
            while True:
                while self.taken >= self.taken_max:
                    self.room.clear()
                    await self.room.wait()
                for partition, records in (await self.consumer.getmany(timeout_ms=1000, max_records=self.taken_max - self.taken)).items():
                    for record in records:
                        self.start(record, self.offsets.received(partition, record.offset))
        except Exception as why:  # noqa: BLE001  ends the worker
            self.stop(why)

    def start(self, record, partition) -> None:
        self.taken += 1
        name = record.key  # a session's records have one key
        lane = self.lanes.get(name) if name else None
        if lane is not None:
            lane.append((record, partition))
            return
        lane = deque([(record, partition)])
        if name:
            self.lanes[name] = lane
        task = asyncio.create_task(self.run_lane(name, lane))
        self.tasks.add(task)
        task.add_done_callback(self.watch)

    async def run_lane(self, name: bytes | None, lane: deque) -> None:
        while lane:
            record, partition = lane[0]
            async with self.slots:
                reply = await self.journey.run(record)
            await self.publish(record, partition, reply)
            lane.popleft()
        self.lanes.pop(name, None)

    async def publish(self, record, partition, reply: bytes | None) -> None:
        """Waits for room in the producer's buffer; for the acknowledgement nothing waits but the offset."""
        def ended(future) -> None:
            if future is not None and future.exception():
                self.stop(future.exception())
                return
            partition.ended(record.offset)
            self.taken -= 1
            self.room.set()

        if reply is None:
            ended(None)
        else:
            (await self.producer.send(self.replies_topic, reply, key=record.key)).add_done_callback(ended)

    # ---- offsets ----

    async def commit_steadily(self) -> None:
        while True:
            await asyncio.sleep(COMMIT_EVERY_S)
            await self.commit()

    async def commit(self) -> None:
        offsets = self.offsets.to_commit()
        if offsets:
            try:
                await self.consumer.commit(offsets)
                self.offsets.committed(offsets)
            except Exception as why:  # noqa: BLE001  the next one says it again; after a rebalance others do
                print(f"commit: {why}", file=sys.stderr)

    async def on_partitions_revoked(self, revoked: list[TopicPartition]) -> None:
        await self.commit()
        self.offsets.revoked(revoked)

    async def on_partitions_assigned(self, assigned) -> None:
        pass


async def main(bootstrap: str, redis_url: str, llm_url: str, in_flight: str, scripts: str, jobs_topic: str, replies_topic: str, group: str) -> None:
    store = Store(redis_url, Path(scripts), group)
    await store.load()
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=group, enable_auto_commit=False, auto_offset_reset="earliest", session_timeout_ms=45000,
                                fetch_min_bytes=int(os.environ.get("CHAT_BENCH_FETCH_BYTES", "1")), fetch_max_wait_ms=int(os.environ.get("CHAT_BENCH_FETCH_WAIT_MS", "500")))
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, linger_ms=LINGER_MS)
    http = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S), headers={"Content-Type": "application/json"})
    worker = Worker(consumer, producer, replies_topic, Journey(llm_url, http, store), int(in_flight))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, worker.stop)
    consumer.subscribe([jobs_topic], listener=worker)
    await producer.start()
    await consumer.start()
    gc.collect()
    gc.freeze()  # what is there now stays
    try:
        await worker.run()
    finally:
        await consumer.stop()
        await producer.stop()
        await http.close()
        await store.close()


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
