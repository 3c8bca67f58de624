"""What a reader of the deltas topic puts together."""
import json

from parts import wait_until


class Reader:
    """The deltas of each job, by (epoch, try), each stream in its order."""

    def __init__(self, topics):
        self.topics = topics

    def streams(self, job):
        found = {}
        for record in self.topics.all(self.topics.deltas):
            delta = json.loads(record.value())
            if delta["job"] == job:
                found.setdefault((delta["epoch"], delta["try"]), []).append(delta)
        return {of: sorted(deltas, key=lambda d: d["seq"]) for of, deltas in found.items()}

    def records(self, streams):
        """All records, when so many streams have ended. A reply waits for no delta, so its coming says nothing of them."""
        def look():
            found = self.topics.all(self.topics.deltas)
            return found if sum(json.loads(record.value()).get("final", False) for record in found) == streams else None
        return wait_until(look, f"the last deltas of {streams} streams")

    def last(self, job):
        """The latest stream, when it is whole."""
        def look():
            streams = self.streams(job)
            last = streams[max(streams)] if streams else []
            return last if last and last[-1].get("final") else None
        return wait_until(look, f"the last delta of {job}")


def text(deltas):
    return "".join(d.get("delta", "") for d in deltas)
