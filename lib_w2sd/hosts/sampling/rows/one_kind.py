"""Of a cond/uncond pair only the rows that count: the host's denoiser is asked for both, the network for one kind.

So either is what it is beside the other (padded, cut or repeated to its length), in the host's own order and under the
weights of AND, and whoever puts cond and uncond together finds as many rows as ever.
"""

from collections.abc import Callable

import torch

from ..isolation.swapped import swapped

PROMPT, NEGATIVE = 0, 1


class OneKind:
    """In front of the network during one call of the host's denoiser.

    kept   the kind whose rows the network is asked for. The others' answers are zeros; a negative prompt's are the
           prompt's, so that there is nothing to guide by.
    kinds  kinds(rows, keywords) of a call of the network: the kind of each of its rows
    first  for each picture, which of its prompt's rows to take for its negative prompt's
    whole  whole(x), asked as the network is first called: whether it has to be asked for all rows
    """

    def __init__(self, network: Callable, kept: int, kinds: Callable, first: list, whole: Callable):
        self.network, self.kept, self.kinds, self.first = network, kept, kinds, first
        self.whole, self._is_whole = whole, None
        self.asked: set = set()  # the kinds that the host has asked for
        self.left_out = 0  # rows
        self._answers: list = []  # of the prompt's rows

    def __call__(self, x, *args, **kwargs):
        n, kinds = len(x), self.kinds(len(x), kwargs)
        rows = [row for row, kind in enumerate(kinds) if kind == self.kept]
        self.asked.update(kinds)
        if self._is_whole is None:
            self._is_whole = self.whole(x)
        if self._is_whole:
            return self.network(x, *args, **kwargs)
        self.left_out += n - len(rows)
        answer = torch.zeros_like(x[:0])
        if rows:
            picked = {name: _of(value, rows, n, self.kept, name) for name, value in kwargs.items()}
            answer = self.network(*(_of(value, rows, n, self.kept) for value in (x, *args)), **picked)
        if self.kept == PROMPT:
            self._answers.append(answer)
        if len(rows) == n:
            return answer
        out = answer.new_zeros(x.shape)
        out[rows] = answer
        if self.kept == PROMPT:
            out[[row for row in range(n) if row not in rows]] = torch.cat(self._answers)[self.first]
        return out


def _of(value, rows: list, n: int, kept: int, name: str = ""):
    """An argument of a call of `n` rows, of some of them."""
    if len(rows) == n:
        return value
    if name == "transformer_options":
        return _options(value, rows, kept)
    if isinstance(value, torch.Tensor):
        return value[rows] if value.ndim and len(value) == n else value
    if isinstance(value, dict):
        return {key: _of(item, rows, n, kept, key) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_of(item, rows, n, kept) for item in value)
    return value


def _options(options: dict, rows: list, kept: int) -> dict:
    """What Forge says of a call's rows, of rows of one kind."""
    there = list(range(len(rows)))
    chunks = [i for i, kind in enumerate(options["cond_or_uncond"]) if kind == kept]
    told = {
        "cond_or_uncond": [kept] * len(chunks),
        "uuids": [options["uuids"][i] for i in chunks] if "uuids" in options else None,
        "cond_mark": options["cond_mark"][rows] if "cond_mark" in options else None,
        "cond_indices": there if kept == PROMPT else [],
        "uncond_indices": there if kept == NEGATIVE else [],
    }
    return {**options, **{name: value for name, value in told.items() if name in options}}


def in_chunks(rows: int, keywords: dict) -> list:
    """Forge's: it names the kinds of a call's equal parts."""
    kinds = keywords["transformer_options"]["cond_or_uncond"]
    return [kind for kind in kinds for _ in range(rows // len(kinds))]


class InOrder:
    """A1111's: first all rows of the prompts, `left` of them, in one call or in several."""

    def __init__(self, prompts: int):
        self.left = prompts

    def __call__(self, rows: int, keywords: dict) -> list:
        prompts = min(rows, self.left)
        self.left -= prompts
        return [PROMPT] * prompts + [NEGATIVE] * (rows - prompts)


class LeftOutByHost(Exception):
    """The host has not asked for the rows that count: "Ignore negative prompt during early sampling"."""


def answered(webui, call: Callable, kept: int, kinds: Callable, first: list, shape=None):
    """call(), a call of the host's denoiser, with the rows of one kind; see OneKind. Raises LeftOutByHost.

    Who listens to the call is told of all rows as ever. Who has hooked into the network besides may count on their
    order there (NegPiP, Regional Prompter, ControlNet): then all are evaluated.

    shape  of all rows together, where `kinds` goes by their order: not in tiles (Tiled Diffusion)
    """

    def whole(x) -> bool:
        if shape is not None and (len(x) > shape[0] or x.shape[1:] != shape[1:]):
            return True
        return webui.company().listens and bool(webui.layers().functions())

    unet = webui.unet()
    front = OneKind(unet.apply_model, kept, kinds, first, whole)
    with swapped(unet, "apply_model", front):
        answer = call()
    if kept not in front.asked:
        raise LeftOutByHost
    webui.left_out += front.left_out
    return answer
