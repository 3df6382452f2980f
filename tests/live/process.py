"""The WebUI's process, where it runs on this machine and this is Linux: its memory and its CPU time."""

import os
import threading
from pathlib import Path


def listening_process(url: str) -> "int | None":
    """The process that listens at `url`, None where there is none to be seen."""
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


def cpu_seconds(pid: int) -> float:
    """CPU time that all threads of a process have used: what other programs do meanwhile hardly touches it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


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

    @property
    def grown(self) -> int:
        return self.peak - self.before
