"""Command line: python -m lib_w2sd.evaluate URL [URL ...]"""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path

from .. import rewards
from ..errors import SettingError, W2SDError
from ..page.settings import parse
from . import prompts, report, study, tables, ways
from .webui import WebUI

REQUEST = {
    "negative_prompt": "",
    "steps": 28,
    "cfg_scale": 7.0,
    "width": 512,
    "height": 512,
    "sampler_name": "DPM++ 2M",
    "scheduler": "Automatic",
}


def _object(text: str) -> dict:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise argparse.ArgumentTypeError(f"{text!r} was given; allowed is a JSON object")
    return found


def arguments(argv=None):
    parser = argparse.ArgumentParser(
        prog="python -m lib_w2sd.evaluate",
        description="Pairs of pictures from a running WebUI, plain and with W2SD: which is better on your checkpoint?",
        epilog="What is drawn is kept in the folder: the same command goes on where it was stopped.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    usual = json.dumps(REQUEST)
    for name, more in {
        "url": {"nargs": "+", "help": "addresses of WebUIs with the same checkpoint, started with --api"},
        "--out": {"type": Path, "default": Path("out/evaluate"), "help": "folder for everything"},
        "--pairs": {"type": int, "default": 100, "help": "at most so many"},
        "--until-clear": {"action": "store_true", "help": "stop as soon as it is known who wins more often"},
        "--reward": {
            "action": "append",
            "default": [],
            "metavar": "PATH",
            "help": "a reward model (lib_w2sd/rewards/README.md), or module:function; of several most decide",
        },
        "--prompts": {
            "type": Path,
            "default": prompts.OURS,
            "help": "a file, one a line; behind a tab a weak prompt, where no other is set",
        },
        "--ways": {
            "type": Path,
            "help": "a JSON file of what is compared; without it plain, W2SD, and plain of the same push and time",
        },
        "--table": {
            "type": int,
            "choices": sorted(tables.TABLES),
            "help": "the paper's table of this number, on your checkpoint, with the paper's settings",
        },
        "--w2sd": {"type": _object, "default": {}, "metavar": "JSON", "help": "settings of W2SD, without --ways"},
        "--request": {
            "type": _object,
            "default": {},
            "metavar": "JSON",
            "help": f"what of every request is another than {usual}",
        },
        "--seed": {"type": int, "default": 1000, "help": "of the first pair"},
        "--user": {"default": "", "metavar": "NAME:PASSWORD", "help": "for --api-auth"},
        "--device": {"default": "cpu", "help": "of the reward models; the GPU is the WebUI's"},
    }.items():
        parser.add_argument(name, **more)
    return parser.parse_args(argv)


def asked_of(given) -> study.Asked:
    """What the command line asks for. Raises SettingError."""
    request, listed = {**REQUEST, **given.request}, prompts.read(given.prompts)
    if given.ways and given.table:
        raise SettingError("--ways and --table were given; allowed is one of the two.")
    if given.ways:
        compared = ways.read(given.ways)
    else:
        parse([{**given.w2sd, "enabled": True}])
        compared = ways.usual(given.w2sd)
    if given.table:
        table = tables.TABLES[given.table]
        request = {**REQUEST, **tables.REQUEST, **given.request}
        compared = table.ways(given.w2sd, request["cfg_scale"])
        print(f"Table {given.table}: {table.told}. Its prompts: {table.prompts}; here: {given.prompts}.")
        if table.needs_of_a_prompt and not all(prompts.weak_of(line) for line in listed):
            raise SettingError(f"--table {given.table}: every prompt needs a weak one behind a tab.")
    return study.Asked(listed, compared, request, given.seed)


def main(argv=None) -> int:
    given = arguments(argv)
    try:
        if given.pairs < 1:
            raise SettingError(f"--pairs was given {given.pairs}; allowed is 1 or more.")
        models = [rewards.opened(name) for name in given.reward]
        asked = asked_of(given)
        webuis = [WebUI(url, given.user) for url in given.url]
        for webui in webuis:
            webui.check()
        kept = study.Study(given.out, asked)
        with ExitStack() as stack:
            for model in models:
                stack.enter_context(model.on(given.device))
            try:
                study.run(kept, webuis, models, given.pairs, given.until_clear)
            finally:
                # Of whatever is there, after an error and Ctrl+C too.
                if told := report.write(kept, [model.name for model in models]):
                    print(told)
    except (W2SDError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"Stopped; the same command goes on from here. Everything is in {given.out}.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
