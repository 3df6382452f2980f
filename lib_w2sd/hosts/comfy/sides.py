"""The strong and the weak side of a run: two guiders, both open, each with the model that it has loaded."""

import contextlib
import inspect
from dataclasses import dataclass

import comfy.model_management
import comfy.samplers
import torch
from comfy.model_sampling import CONST
from comfy.patcher_extension import WrappersMP, add_wrapper_with_key

from ...method.reflection import Flow, Sigma
from ...method.rows import RowMeter

KEY = "w2sd"  # of wrappers of ours
# Whoever puts prompt and negative prompt together some other way than by the CFG scale alone
GUIDING = ("sampler_cfg_function", "sampler_pre_cfg_function", "sampler_post_cfg_function")
GUIDING += ("sampler_calc_cond_batch_function",)
PATCHES = "patches", "patches_replace"  # of layers


class Seen(Sigma):
    """k-diffusion's coordinates, for a network that sees x as its ModelSampling says (EDM's, Cosmos')."""

    def __init__(self, sampling):
        self._sampling = sampling

    def at_time(self, x_next, t, t_next):
        one = x_next.new_ones((len(x_next), *[1] * (x_next.ndim - 1)))
        now, after = (self._sampling.calculate_input(torch.as_tensor(at).to(one), one) for at in (t, t_next))
        return x_next * (after / now)


def coordinates_of(sampling):
    return Flow() if isinstance(sampling, CONST) else Seen(sampling)


@dataclass
class Side:
    """guider  open: within its sample()
    model     what a sampler calls, about this guider
    options   of its calls: model_options and the like
    """

    guider: "comfy.samplers.CFGGuider"
    model: object
    options: dict

    @property
    def patcher(self):
        return self.guider.model_patcher


def same_network(one, other) -> bool:
    """Whether two ModelPatchers make the same of their model: no weight and no part of it has to change."""
    parts = ("patches", "object_patches", "weight_wrapper_patches", "injections")
    return one.model is other.model and all(_same(getattr(one, name), getattr(other, name)) for name in parts)


def alike(one, other) -> bool:
    """Whether nothing but the CFG scale tells two guiders apart, and nothing else puts their predictions together."""

    def content(guider):
        return {k: [{**c, "uuid": None} for c in conds] for k, conds in guider.original_conds.items()}

    if not type(one) is type(other) is comfy.samplers.CFGGuider:
        return False
    if not same_network(one.model_patcher, other.model_patcher) or "negative" not in one.original_conds:
        return False
    if any(guider.model_options.get(name) for guider in (one, other) for name in GUIDING):
        return False
    return _same(content(one), content(other)) and _same(
        one.model_patcher.model_options, other.model_patcher.model_options
    )


def _same(a, b) -> bool:
    """Whether two structures hold the same: of tensors and objects, one and no copy."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    return a is b or (type(a) is type(b) and isinstance(a, (str, int, float)) and a == b)


class GuiderSides:
    """denoiser.Sides of one run.

    settings  settings.Settings; of its CFG scales the strong one counts here, the weak guider has its own
    """

    unguided = False

    def __init__(self, settings, strong: Side, weak: Side, shape):
        self._strong, self._weak = strong, weak
        self._strong_cfg = settings.strong_cfg
        self.coordinates = coordinates_of(weak.guider.inner_model.model_sampling)
        self._meter = RowMeter()
        self._before = None  # beside the sampler's own call: what was remembered before it
        self._heard = False  # a patch of a layer keeps what it hears (self-attention guidance): no call may be left out
        self._scales = (strong.guider.cfg, weak.guider.cfg) if alike(strong.guider, weak.guider) else None
        self._one_model = strong.patcher.model is weak.patcher.model
        self._one_network = same_network(strong.patcher, weak.patcher)
        self._shape = [2 * shape[0], *shape[1:]]
        self._noise = torch.Generator().manual_seed(((strong.options.get("seed") or 0) + 0x77327364) % 2**63)
        for side in (strong, weak):
            add_wrapper_with_key(WrappersMP.APPLY_MODEL, KEY, self._counted, side.options["model_options"], True)
        # Opening the second may have pushed out the first, of which it knew nothing.
        self._load(strong, *(() if self._one_model else (weak,)))
        strong.patcher.model.current_patcher = strong.patcher
        self._in_use = strong

    # ------------------------------------------------------------------ denoiser.Sides

    def strong(self, x, t, kwargs):
        return self._asked(self._strong, x, t, kwargs, self._strong_cfg)

    def weak(self, x, t, kwargs):
        return self._asked(self._weak, x, t, self._weak.options)

    def own(self, denoiser, x, t, kwargs):
        self._use(self._strong)
        return denoiser(x, t, **kwargs), True

    def rows(self) -> int:
        return self._meter.rows

    def sharing(self, wanted: bool):
        return self._meter.sharing() if wanted else contextlib.nullcontext()

    def announce(self, x, t, kwargs):
        """Rows of two guiders do not travel together."""

    @contextlib.contextmanager
    def as_before(self, x, t, kwargs):
        self._before = self._memory(kwargs, x.device)
        try:
            yield x.clone(), t.clone(), kwargs
        finally:
            self._before = None

    def own_scale(self, kwargs) -> float:
        return self._strong.guider.cfg

    def step_is_strong(self, kwargs) -> bool:
        return self._strong_cfg is None

    def only_scales(self, kwargs):
        if self._scales is None:
            return None
        own, weak = self._scales
        return (own if self._strong_cfg is None else self._strong_cfg), weak

    def weak_first(self, kwargs) -> bool:
        strong, weak = self.only_scales(kwargs) or (0, 0)
        return strong == 1 and weak != 1

    @property
    def prompt_alone(self):
        def at(scale):
            return lambda x, t, kwargs: self._asked(self._strong, x, t, kwargs, scale)

        return at(1.0), at(0.0)

    def noise(self, x):
        return torch.randn(x.shape, generator=self._noise).to(x)

    # ------------------------------------------------------------------ one evaluation

    def _asked(self, side: Side, x, t, options: dict, cfg: "float | None" = None):
        """What the side answers at (x, t), as if it had never been asked; beside the sampler's own call, as if that had
        not been made either."""
        comfy.model_management.throw_exception_if_processing_interrupted()
        self._use(side)
        guider, own, now = side.guider, side.guider.cfg, self._memory(options, x.device)
        if self._before is not None:
            self._before.put_back()
        guider.cfg = own if cfg is None else cfg
        try:
            return side.model(x.clone(), t.clone(), **options)
        finally:
            guider.cfg = own
            now.put_back()

    def _memory(self, options: dict, device) -> "Memory":
        return Memory([given["model_options"] for given in (options, self._strong.options, self._weak.options)], device)

    def _counted(self, executor, x, t, concat, text, control, transformer_options, **more):
        """Around the network: rows are counted, and where both sides are asked at one place not evaluated twice."""

        def network(x, t, concat, text, hint, transformer_options, **more):
            return executor(x, t, concat, text, hint, given, **more)

        given = transformer_options
        side = 0 if self._one_network else self._in_use is self._strong
        alone = object() if self._heard else None
        self._meter.under = (side, executor.class_obj.current_patcher.current_hooks, alone)
        named = {"hint": control, "transformer_options": _without_ours(given), **more}
        kept = [(cell, cell.cell_contents) for cell in _cells([given.get(name) for name in PATCHES])]
        output = self._meter.call(network, (x, t, concat, text), named)
        self._heard = self._heard or any(cell.cell_contents is not value for cell, value in kept)
        return output

    def _use(self, side: Side) -> None:
        """Have the side's model be what its patcher makes of it. Two patchers of one model take turns."""
        if side is self._in_use:
            return
        before, self._in_use = self._in_use.patcher, side
        if self._one_model:
            before.unpatch_hooks()
            if not self._one_network:
                self._load(side)
            side.patcher.model.current_patcher = side.patcher

    def _load(self, *sides: Side) -> None:
        models = [model for side in sides for model in (side.patcher, *side.guider.loaded_models)]
        needed = max(side.patcher.memory_required(self._shape) for side in sides)
        comfy.model_management.load_models_gpu(models, memory_required=needed)

    def close(self) -> None:
        self._use(self._strong)
        for side in (self._strong, self._weak):  # as they hold this: models go only when nothing holds them
            side.options["model_options"]["transformer_options"]["wrappers"][WrappersMP.APPLY_MODEL].pop(KEY, None)


class Memory:
    """The generators' states, and what guidance functions remember of their calls (the running average of APG)."""

    def __init__(self, model_options: list, device):
        cells = [(cell, cell.cell_contents) for cell in _cells(model_options)]
        self._cells = [(cell, value) for cell, value in cells if not inspect.isroutine(value)]
        self._drawn = torch.get_rng_state()
        self._device = device if device.type == "cuda" else None
        self._drawn_there = self._device and torch.cuda.get_rng_state(device)

    def put_back(self) -> None:
        for cell, value in self._cells:
            cell.cell_contents = value
        torch.set_rng_state(self._drawn)
        if self._device:
            torch.cuda.set_rng_state(self._drawn_there, self._device)


def _without_ours(options: dict) -> dict:
    """Transformer options without wrappers of ours, which the network does not see: only one side's may have them."""
    wrappers = {
        kind: {key: of for key, of in by_key.items() if key != KEY} for kind, by_key in options["wrappers"].items()
    }
    return {**options, "wrappers": {kind: by_key for kind, by_key in wrappers.items() if by_key}}


def _cells(value):
    """Of the functions in model options: the variables that they share with those who made them."""
    if isinstance(value, dict):
        value = list(value.values())
    if inspect.isfunction(value):
        for cell in value.__closure__ or ():
            with contextlib.suppress(ValueError):  # empty
                cell.cell_contents  # noqa: B018
                yield cell
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _cells(one)
