"""A process that answers: whether it lives, a port for it, and what it says."""

import json
import os
import socket
import urllib.error
import urllib.request

from .commands import Trouble


def alive(pid: int) -> bool:
    try:
        os.waitpid(pid, os.WNOHANG)  # of our own children an ended one stays until it is asked for
    except (ChildProcessError, AttributeError):
        pass
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def ask(url: str) -> dict:
    try:
        with urllib.request.urlopen(url, timeout=60) as answer:
            return json.load(answer)
    except urllib.error.URLError as error:
        raise Trouble(f"{url} does not answer: {error}") from None
