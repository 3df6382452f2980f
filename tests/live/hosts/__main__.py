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
            one.add_argument("--suite", action="store_true", help="their copies and logs, too")
        if name in ("set-up", "start"):
            one.add_argument("--mirror", type=Path, help="folder of git mirrors, OWNER/NAME.git (default: the network)")
            one.add_argument("--python", default=sys.executable, help="for the environments")
            one.add_argument("--copies", type=int, help="of each (default: 2, on two cores or more)")
    given = parser.parse_args(argv)
    unknown = ", ".join(name for name in given.hosts if name not in HOSTS)
    if unknown:
        parser.error(f"no such host: {unknown}; there are {', '.join(HOSTS)}")
    hosts = asked_for(given)
    if given.do == "options":
        print(*options(hosts, given.suite))
        return 0
    try:
        for host in hosts:
            if given.do == "stop":
                if host.stop():
                    print(f"{host.said} is stopped.")
                continue
            host.set_up()
            if given.do == "start":
                print(f"{host.said} runs at {host.start()}", flush=True)
    except Trouble as trouble:
        print(f"{host.name}: {trouble}", file=sys.stderr)
        return 1
    return 0


def asked_for(given) -> list:
    """The hosts of a command line, the copies of each after it: to set up, as many as wanted; else those there are."""
    found = []
    for name in given.hosts or HOSTS:
        kind, numbers, more = HOSTS[name], [1], {}
        if given.do in ("set-up", "start"):
            numbers = range(1, (given.copies or kind.copies) + 1)
            more = {"mirror": given.mirror, "python": given.python}
        elif given.do == "stop" or given.suite:
            numbers += sorted(int(path.name.rpartition("-")[2]) for path in given.dir.glob(f"{name}-[0-9]*"))
        found += [kind(given.dir, number=number, **more) for number in numbers]
    return found


def options(hosts: list, suite: bool) -> list:
    """Of pytest, for those that run: as many processes of it as each has copies."""
    running = {}  # by what the suite calls them: of two versions of a host the later
    for host in hosts:
        if host.running():
            if host.number == 1:
                running[host.option] = []
            running.setdefault(host.option, []).append(host)
    said = [f"--{option} {host.running()['url']}" for option, some in running.items() for host in some]
    if suite:
        said += [f"--{option}-log {host.log}" for option, some in running.items() for host in some]
        shares = min(map(len, running.values()), default=1)
        said += [f"-n {shares} --dist loadscope"] if shares > 1 else []
    return said


if __name__ == "__main__":
    sys.exit(main())
