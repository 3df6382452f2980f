"""A study: pairs drawn, kept, scored, and an end as soon as it is clear. All of it in one folder, so that it goes on
where it was stopped.

A pair is one prompt and one seed, which no other pair has. The list is gone through in an order of chance, and begun
again in another once all have had their turn: pairs then speak for the whole list. `verdict` takes them as independent
draws: at any one look they lie no further from the list's mean than those would (Hoeffding 1963, section 6), and looked
at after every pair they miss it less often (tests/evaluate/test_verdict.py). All ways of a pair are drawn one after the
other on the same WebUI.

    study.json            what was asked
    pairs/0001/pair.json  prompt, seed, and of every way its request, seconds, rows and scores
    pairs/0001/0.png ...  the ways' pictures, in their order
"""

import json
import os
import queue
import random
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from ..errors import SettingError
from ..page.settings import BY_NAME
from . import prompts, verdict
from .ways import Way, matched


@dataclass
class Asked:
    """What makes a study the one it is: with another of these its pairs cannot stand beside those drawn already."""

    prompts: "list[str]"
    ways: "tuple[Way, ...]"
    request: dict
    first_seed: int = 1000

    def as_dict(self) -> dict:
        return {**vars(self), "ways": [way.as_dict() for way in self.ways]}


@dataclass
class Pair:
    index: int
    prompt: str
    seed: int
    w2sd: dict = field(default_factory=dict)  # settings that its line of the list gives
    made: dict = field(default_factory=dict)  # of each way by name: request, seconds, facts, scores {reward: number}

    def scores(self, way: str, reward: str) -> "float | None":
        return self.made.get(way, {}).get("scores", {}).get(reward)


class Study:
    """Raises SettingError if the folder holds another study, of which a pair is drawn: one that failed in its first is
    no loss, and gives its name back."""

    def __init__(self, folder: Path, asked: Asked):
        self.folder, self.asked = folder, asked
        told, file = json.loads(json.dumps(asked.as_dict())), folder / "study.json"
        if file.exists():
            before = json.loads(file.read_text(encoding="utf-8"))
            other = sorted(name for name in told if before.get(name) != told[name])
            made = (json.loads(pair.read_text(encoding="utf-8"))["made"] for pair in folder.glob("pairs/*/pair.json"))
            if other and any(len(ways) == len(before["ways"]) for ways in made):
                raise SettingError(
                    f"{folder} holds a study with other {', '.join(other)}; choose another folder, or ask for the same."
                )
            if other:
                shutil.rmtree(folder / "pairs", ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        _write(file, told)

    def pair(self, index: int) -> Pair:
        """The pair of this number, with what is there of it."""
        listed = self.asked.prompts
        turn, place = divmod(index, len(listed))
        line = random.Random(f"W2SD {self.asked.first_seed} {turn}").sample(listed, len(listed))[place]
        pair = Pair(index, prompts.strong_of(line), self.asked.first_seed + index, prompts.settings_of(line))
        file = self._of(index) / "pair.json"
        told = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        # An earlier copy's may tell of more, or of less.
        return replace(pair, **{name: value for name, value in told.items() if name in vars(pair)})

    def picture(self, pair: Pair, way: Way) -> Path:
        return self._of(pair.index) / f"{self.asked.ways.index(way)}.png"

    def finished(self, rewards=(), known=()) -> "list[Pair]":
        """The pairs from the first on, up to the first that is not whole: others may have been left behind by one of
        several WebUIs, and those that are quick are no fair choice. `known`: those that are finished already."""
        found = list(known)
        while True:
            pair = self.pair(len(found))
            if not all(self._is_made(pair, way) for way in self.asked.ways):
                return found
            drawn = [way for way in self.asked.ways if "refused" not in pair.made[way.name]]
            if any(pair.scores(way.name, reward) is None for way in drawn for reward in rewards):
                return found
            found.append(pair)

    def draw(self, pair: Pair, webui) -> None:
        """Draw what is missing of a pair."""
        for way in self.asked.ways:
            if self._is_made(pair, way):
                continue
            request = {**self.asked.request, "prompt": pair.prompt, "seed": pair.seed, **way.request}
            if way.like:
                request = matched(way, request, pair.made[way.like]["facts"])
            if request is None:
                pair.made[way.name] = {"refused": "the run does not tell its CFG scale"}
            else:
                drawn = webui.draw(request, self._settings(way, pair))
                self._of(pair.index).mkdir(parents=True, exist_ok=True)
                _save(drawn.picture, self.picture(pair, way))
                told = {name: value for name, value in request.items() if name not in ("prompt", "seed")}
                pair.made[way.name] = {"request": told, "seconds": round(drawn.seconds, 3), "facts": drawn.facts}
            self.keep(pair)

    def score(self, pair: Pair, rewards) -> None:
        """Give a pair's pictures the scores that they have not."""
        for reward in rewards:
            ways = [
                way
                for way in self.asked.ways
                if "refused" not in pair.made[way.name] and pair.scores(way.name, reward.name) is None
            ]
            if ways:
                pictures = [Image.open(self.picture(pair, way)) for way in ways]
                for way, score in zip(ways, reward.scores(pictures, [pair.prompt] * len(ways))):
                    pair.made[way.name].setdefault("scores", {})[reward.name] = score
        self.keep(pair)

    def keep(self, pair: Pair) -> None:
        _write(self._of(pair.index) / "pair.json", vars(pair))

    def _of(self, index: int) -> Path:
        return self.folder / "pairs" / f"{index + 1:04d}"

    def _is_made(self, pair: Pair, way: Way) -> bool:
        made = pair.made.get(way.name)
        return made is not None and ("refused" in made or self.picture(pair, way).exists())

    def _settings(self, way: Way, pair: Pair) -> "dict | None":
        """With what the pair's line gives, and the push where a plain way needs to know it."""
        if way.w2sd is None:
            return None
        # The page gives every setting: one at its default is none that was set.
        set_here = {name for name, value in way.w2sd.items() if value != BY_NAME[name].default}
        own = {name: value for name, value in pair.w2sd.items() if name not in set_here}
        pushes = any(other.like == way.name and other.match == "push" for other in self.asked.ways)
        return {**way.w2sd, **own, **({"measure": True} if pushes else {})}


def differences(pairs: "list[Pair]", way: Way, reference: Way, reward: str) -> "list[float]":
    """way - reference, of the pairs that have both."""
    both = ((pair.scores(way.name, reward), pair.scores(reference.name, reward)) for pair in pairs)
    return [one - other for one, other in both if one is not None and other is not None]


def rates(study: Study, pairs: "list[Pair]", rewards: "list[str]", alpha: float = 0.05) -> "dict[str, verdict.Rate]":
    """Each way's winning rate against the first, by most of the rewards. The intervals hold for all ways together."""
    reference, *others = study.asked.ways
    each = alpha / len(others)
    found = {}
    for way in others:
        of = [differences(pairs, way, reference, reward) for reward in rewards]
        found[way.name] = verdict.rate(verdict.majority(of), each)
    return found


def is_clear(study: Study, pairs: "list[Pair]", rewards: "list[str]") -> bool:
    """Whether every way with W2SD is known to win more often, or less often, than the first."""
    found = rates(study, pairs, rewards)
    return all(found[way.name].clear for way in study.asked.ways[1:] if way.w2sd is not None)


def run(
    study: Study, webuis: list, rewards: list, pairs: int, until_clear: bool = False, tell=print, drawing=None
) -> "list[Pair]":
    """Draw and score up to so many pairs; those finished. What a WebUI refuses ends it; what is drawn is kept.

    webuis   with draw(request, w2sd) -> webui.Drawn
    drawing  in_turn, where a WebUI is asked from its own thread; side_by_side is how it is without
    """
    names = [reward.name for reward in rewards]
    for pair in study.finished():
        study.score(pair, rewards)
    finished = study.finished(names)
    begun, before = time.monotonic(), len(finished)
    with closing((drawing or side_by_side)(study, webuis, range(before, pairs))) as drawn:
        for pair in drawn:
            study.score(pair, rewards)
            finished = study.finished(names, finished)
            now = len(finished)
            a_pair = (time.monotonic() - begun) / max(1, now - before)
            tell(_line(study, finished, names, pairs, a_pair))
            if until_clear and names and is_clear(study, finished, names):
                break
    return finished


def in_turn(study: Study, webuis: list, indices: range) -> "Iterator[Pair]":
    """Each pair once it is drawn, by the one WebUI, in this thread."""
    (webui,) = webuis
    for index in indices:
        pair = study.pair(index)
        study.draw(pair, webui)
        yield pair


def side_by_side(study: Study, webuis: list, indices: range) -> "Iterator[Pair]":
    """Each pair once it is drawn, by whichever WebUI has time; they draw on while a pair is scored."""
    todo: queue.SimpleQueue = queue.SimpleQueue()
    for index in indices:
        todo.put(index)
    drawn: queue.SimpleQueue = queue.SimpleQueue()
    stop = threading.Event()

    def work(webui):
        while not stop.is_set():
            try:
                index = todo.get_nowait()
            except queue.Empty:
                break
            pair = study.pair(index)
            try:
                study.draw(pair, webui)
            except Exception as error:  # told by the one who waits
                drawn.put(error)
                return
            drawn.put(pair)
        drawn.put(None)

    workers = [threading.Thread(target=work, args=(webui,), daemon=True) for webui in webuis]
    for worker in workers:
        worker.start()
    try:
        left = len(workers)
        while left:
            came = drawn.get()
            if came is None:
                left -= 1
            elif isinstance(came, Exception):
                raise came
            else:
                yield came
    finally:
        stop.set()
        for worker in workers:
            worker.join(timeout=0.1)


def _line(study: Study, finished: list, rewards: list, pairs: int, a_pair: float) -> str:
    minutes = (pairs - len(finished)) * a_pair / 60
    told = f"pair {len(finished)} of {pairs}, {a_pair:.1f} s each, {minutes:.0f} min left"
    if rewards:
        found = rates(study, finished, rewards)
        for name, r in found.items():
            told += f"; {name} wins {100 * r.value:.0f} % [{100 * r.low:.0f}, {100 * r.high:.0f}]"
    return told


def _write(file: Path, told) -> None:
    """Whole or not at all: a killed study is read again."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    part.write_text(json.dumps(told, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(part, file)


def _save(picture: Image.Image, file: Path) -> None:
    part = file.with_suffix(".part")
    picture.save(part, "PNG")
    os.replace(part, file)
