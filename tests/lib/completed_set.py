"""Reads the completed set in a commit's metadata, as worker/task/offset_codec.h describes it, without its code."""
import base64


def _numbers(data: bytes) -> list[int]:
    """LEB128."""
    numbers, number, shift = [], 0, 0
    for byte in data:
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            numbers.append(number)
            number = shift = 0
    assert shift == 0, "cut within a number"
    return numbers


def done(base: int, metadata: str | None) -> set[int]:
    """The offsets from base on that are said to be done. Of the forms that small sets have: runs and bits."""
    if not metadata:
        return set()
    assert metadata.startswith("cw1"), metadata
    raw = base64.b64decode(metadata[3:] + "=" * (-len(metadata[3:]) % 4))
    form, behind = chr(raw[0]), raw[1:-8]  # a checksum of 8 bytes is last
    epoch_size = next(i for i, byte in enumerate(behind) if byte < 0x80) + 1
    payload = behind[epoch_size:]
    if form == "b":
        return {base + i for i in range(8 * len(payload)) if payload[i // 8] >> i % 8 & 1}
    assert form == "r", form
    found, at = set(), base
    for i, length in enumerate(_numbers(payload)):
        found |= set(range(at, at + length)) if i % 2 else set()
        at += length
    return found


def done_of(committed) -> set[int] | None:
    """Of a TopicPartition that confluent-kafka brings. It reads metadata as text that ends with a NUL, which librdkafka's copy hasn't always:
    then it is longer than what was committed. None: that was so; to be asked for again."""
    if committed.offset < 0:
        return set()
    try:
        return done(committed.offset, committed.metadata)
    except (UnicodeDecodeError, AssertionError, ValueError, StopIteration):
        return None
