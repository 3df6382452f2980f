"""What the suite ends with: what was recorded, what was skipped and why, and where the time went."""

import collections
import re
from pathlib import Path


def table(cells: dict) -> list:
    """Lines of a Markdown table of {(row, column): result}; rows and columns in the order of their first cell."""
    rows, columns = (list(dict.fromkeys(key[axis] for key in cells)) for axis in (0, 1))
    lines = [["", *columns], *([row, *(str(cells.get((row, column), "")) for column in columns)] for row in rows)]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(columns) + 1)]
    lines.insert(1, ["-" * width for width in widths])
    return ["| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |" for line in lines]


def reasons(reports) -> list:
    """Lines of what was skipped: how often, and why; the most frequent first."""
    said = collections.Counter(report.longrepr[2].removeprefix("Skipped: ") for report in reports)
    return [f"{count:4d}  {reason}" for reason, count in said.most_common()]


def times(reports) -> dict:
    """{(file, host): "seconds, tests"} of test reports, the longest first; last of all their sums."""
    spent, tests = collections.Counter(), collections.defaultdict(set)
    for report in reports:
        if not hasattr(report, "duration"):
            continue  # a warning
        file, _, name = report.nodeid.partition("::")
        inside = re.split(r"[-\[\]]", name)
        host = next((host for host in ("a1111", "forge", "neo") if host in inside), "no WebUI")
        for row in (Path(file).stem, "all"):
            spent[row, host] += report.duration
            tests[row, host].add(report.nodeid)
    longest = sorted(spent, key=lambda key: (key[0] == "all", -spent[key]))
    return {key: f"{spent[key]:.0f}, {len(tests[key])}" for key in longest}
