"""Command line of the hosts: `python -m tests.live.hosts start a1111`, as the Makefile calls it."""

import argparse
import sys
from pathlib import Path

from .a1111 import A1111
from .comfy import ComfyUI
from .commands import Trouble
from .forge import Forge
from .neo import Neo, NewestNeo

HOSTS = {host.name: host for host in (A1111, Forge, Neo, NewestNeo, ComfyUI)}


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.live.hosts", description="WebUIs for the live suite.")
    does = parser.add_subparsers(dest="do", required=True, metavar="WHAT")
    for name, about in (
        ("set-up", "everything but the start"),
        ("start", "set it up, start it and print its address"),
        ("stop", "end it"),
        ("options", "of pytest, for those that run"),
    ):
        one = does.add_parser(name, help=about)
        one.add_argument("hosts", nargs="*", help="default: all")
        one.add_argument("--dir", type=Path, default=Path("hosts"), help="where they stand")
        if name == "options":
            one.add_argument("--logs", action="store_true", help="their logs, too")
        if name in ("set-up", "start"):
            one.add_argument("--mirror", type=Path, help="folder of git mirrors, OWNER/NAME.git (default: the network)")
            one.add_argument("--python", default=sys.executable, help="for the environments")
    given = parser.parse_args(argv)
    unknown = ", ".join(name for name in given.hosts if name not in HOSTS)
    if unknown:
        parser.error(f"no such host: {unknown}; there are {', '.join(HOSTS)}")
    more = {"mirror": given.mirror, "python": given.python} if given.do in ("set-up", "start") else {}
    hosts = [HOSTS[name](given.dir, **more) for name in given.hosts or HOSTS]
    try:
        for host in hosts:
            if given.do in ("set-up", "start"):
                host.folder.mkdir(parents=True, exist_ok=True)
                host.set_up()
            if given.do == "start":
                print(f"{host.title} runs at {host.start()}", flush=True)
            elif given.do == "stop" and host.stop():
                print(f"{host.title} is stopped.")
            elif given.do == "options" and host.running():
                log = f" --{host.option}-log {host.log}" if given.logs else ""
                print(f"--{host.option} {host.running()['url']}{log}")
    except Trouble as trouble:
        print(f"{host.name}: {trouble}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
