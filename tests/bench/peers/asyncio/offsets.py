"""Which offsets of a partition may be committed: jobs end in any order, what is committed is the first that isn't done."""
from collections import deque


class Partition:
    """One assignment of one partition: assigned again it is another object, which late ends don't touch."""

    def __init__(self):
        self.pending, self.done = deque(), set()
        self.committable = self.committed = None  # None: nothing was received

    def received(self, offset: int) -> None:
        if not self.pending:
            self.committable = offset
        self.pending.append(offset)

    def ended(self, offset: int) -> None:
        self.done.add(offset)
        while self.pending and self.pending[0] in self.done:
            self.done.remove(self.pending[0])
            self.committable = self.pending.popleft() + 1


class Offsets:
    def __init__(self):
        self.partitions = {}

    def received(self, partition, offset: int) -> Partition:
        """What is told that the job ended."""
        found = self.partitions.get(partition)
        if found is None:
            found = self.partitions[partition] = Partition()
        found.received(offset)
        return found

    def to_commit(self) -> dict:
        return {name: each.committable for name, each in self.partitions.items() if each.committable != each.committed}

    def committed(self, offsets: dict) -> None:
        for name, offset in offsets.items():
            if name in self.partitions:
                self.partitions[name].committed = offset

    def revoked(self, partitions) -> None:
        for partition in partitions:
            self.partitions.pop(partition, None)
