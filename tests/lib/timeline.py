"""Timelines in plain text: a bar for each call over time, from measured begins and ends.

    job 0   |############################                              |
    job 1   |............................##############################|
            0s             1s             2s             3s             4s

`#` a call under way, `x` its end when it was cut short or timed out, `.` waiting before it."""
from __future__ import annotations

from dataclasses import dataclass

WIDTH = 60
MOST = 6  # bars of one timeline; of more the first and the last are shown


@dataclass
class Bar:
    label: str
    begin_ms: float
    end_ms: float
    waits_from_ms: float | None = None  # None: it didn't wait
    cut: bool = False


def draw_bar(bar: Bar, origin_ms: float, ms_a_cell: float) -> str:
    cells = [" "] * WIDTH

    def cell(at_ms: float) -> int:
        return min(WIDTH, max(0, round((at_ms - origin_ms) / ms_a_cell)))

    begin, end = cell(bar.begin_ms), cell(bar.end_ms)
    if bar.waits_from_ms is not None:
        for at in range(cell(bar.waits_from_ms), begin):
            cells[at] = "."
    begin = min(begin, WIDTH - 1)
    for at in range(begin, max(end, begin + 1)):
        cells[at] = "#"
    if bar.cut:
        cells[max(end, begin + 1) - 1] = "x"
    return "".join(cells)


def axis(span_ms: float) -> str:
    """Marks at the four quarters."""
    line = [" "] * (WIDTH + 8)
    for quarter in range(5):
        for offset, char in enumerate(f"{span_ms * quarter / 4000:.3g}s"):
            line[WIDTH * quarter // 4 + offset] = char
    return "".join(line).rstrip()


def draw(bars: list[Bar], origin_ms: float, end_ms: float) -> str:
    """The bars in the order of their begins, all on one scale from origin to end."""
    bars = sorted(bars, key=lambda bar: bar.begin_ms)
    span = max(end_ms - origin_ms, 1)
    shown = bars if len(bars) <= MOST else bars[:MOST - 2] + [None] + bars[-1:]
    width = max(len(bar.label) for bar in bars)
    lines = []
    for bar in shown:
        if bar is None:
            lines.append(f"    {'...':<{width}}  {len(bars) - MOST + 1} more")
        else:
            lines.append(f"    {bar.label:<{width}} |{draw_bar(bar, origin_ms, span / WIDTH)}|")
    return "\n".join([*lines, " " * (width + 6) + axis(span)])
