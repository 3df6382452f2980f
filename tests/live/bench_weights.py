"""What a weak checkpoint costs: memory and time to load, time to switch, time of a run against its rows.

python -m tests.live.bench_weights --a1111 http://127.0.0.1:7860
"""

import argparse
import os
import threading
import time
from pathlib import Path
from statistics import median

from .conftest import WebUI
from .test_checkpoint import asking, pairs


def listening_process(url: str) -> "int | None":
    """The process that listens at `url`, where it is on this machine and this is Linux."""
    port = f":{int(url.rpartition(':')[2].strip('/')):04X}"
    inodes = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if os.path.exists(table):
            rows = [line.split() for line in Path(table).read_text().splitlines()[1:]]
            inodes |= {f"socket:[{row[9]}]" for row in rows if row[1].endswith(port) and row[3] == "0A"}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(os.readlink(fd) in inodes for fd in (process / "fd").iterdir()):
                return int(process.name)
        except OSError:
            continue  # not ours to look at, or gone
    return None


def anonymous_memory(pid: int) -> int:
    """Bytes that a process holds for itself; mapped files are not among them."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/{pid}/status does not say RssAnon")


class Watched:
    """`peak - before` of a process's memory while the block runs, looked at every millisecond."""

    def __init__(self, pid):
        self.pid, self.before, self.peak = pid, 0, 0

    def __enter__(self):
        self.before = self.peak = anonymous_memory(self.pid) if self.pid else 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def _look(self):
        while self.pid and not self._over.wait(0.001):
            self.peak = max(self.peak, anonymous_memory(self.pid))

    def __exit__(self, *error):
        self._over.set()
        self._thread.join()


def weak_checkpoint(webui: WebUI, repeats: int = 5, **payload) -> list:
    """A dictionary of figures for each pair of checkpoints X and X-weak; memory in bytes, times in milliseconds.

    bytes             of the weak UNet; extra_bytes: what the process grew by at the most, in the request that loads
                      it, beyond what the same request takes with the UNet already there (None: another machine)
    counted_bytes     the loader's own count at its peak
    time_ratio        of a reflected to a plain run, by the time in model calls; row_ratio: the same in UNet rows
    """
    pid, figures = listening_process(webui.url), []
    for strong, weak in pairs(webui):
        ask = {**asking(strong), **payload}
        scale = ask.get("cfg_scale", 1)
        settings = {"weak_checkpoint": weak, "weak_cfg": scale, "strong_cfg": scale, "lambda_steps": -1}
        webui.picture(settings, **ask)  # the strong checkpoint is loaded, and everything warm
        with Watched(pid) as kept:
            webui.picture(settings, **ask)
        webui.post("/w2sd/v1/free", {})
        with Watched(pid) as loading:
            webui.picture(settings, **ask)
        (overlay,) = webui.trace()[0]["overlays"]
        plain, reflected, toggles = [], [], []
        for _ in range(repeats):
            webui.picture({**settings, "weak_alone": True, "weak_checkpoint": ""}, **ask)
            plain.append(webui.trace()[0])
            webui.picture(settings, **ask)
            reflected.append(webui.trace()[0])
            toggles.append(reflected[-1]["overlays"][0]["toggle_ms"])
        times = [median(run["seconds"] for run in runs) for runs in (plain, reflected)]
        figures.append(
            {
                "strong": strong,
                "weak": weak,
                "bytes": overlay["bytes"],
                "counted_bytes": overlay["peak_bytes"],
                "extra_bytes": loading.peak - loading.before - (kept.peak - kept.before) if pid else None,
                "load_ms": overlay["seconds"] * 1e3,
                "toggle_ms": median(toggles),
                "time_ratio": times[1] / times[0],
                "row_ratio": reflected[0]["rows"] / plain[0]["rows"],
            }
        )
    return figures


def report(webui: WebUI, **payload) -> None:
    """Print the figures, a line a pair."""
    for f in weak_checkpoint(webui, **payload):
        mb = 1e6
        extra = "unknown" if f["extra_bytes"] is None else f"{f['extra_bytes'] / mb:.1f} MB"
        print(
            f"{webui.name}: {f['weak']} beside {f['strong']}: UNet {f['bytes'] / mb:.1f} MB, peak counted "
            f"{f['counted_bytes'] / f['bytes'] - 1:+.1%}, process grew by {extra}; loaded in {f['load_ms']:.0f} ms; "
            f"switched in {f['toggle_ms']:.3f} ms; run {f['time_ratio']:.2f} times a plain one's time, "
            f"{f['row_ratio']:.2f} times its rows"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for host in ("a1111", "forge"):
        parser.add_argument(f"--{host}", metavar="ADDRESS")
    start, given = time.time(), vars(parser.parse_args())
    for name, url in given.items():
        if url:
            report(WebUI(name, url))
    print(f"{time.time() - start:.0f} s")
