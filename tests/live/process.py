"""The WebUI's process, where it runs on this machine and this is Linux: its CPU time."""

import os
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
