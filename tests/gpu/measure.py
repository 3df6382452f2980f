"""Every way of using a gap, in one network: what it takes, and what may not be."""

import gc
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import save_file

from lib_w2sd.lab.sampling import Run, sample
from lib_w2sd.method import ways
from lib_w2sd.page.settings import Settings
from lib_w2sd.weights import exchange
from lib_w2sd.weights.file import open_weights
from lib_w2sd.weights.layers import Change, Overlay, concatenated

from .machine import Machine
from .networks import Network, Size

CFG, SIGMAS = 7.0, (14.6146, 0.0292)  # of Stable Diffusion's schedule, as k-diffusion has them
RANK = 16
AT_CFG_1 = {"strong_cfg": 1.0, "weak_cfg": 1.0}
# With both sides the same these leave the latent where it is, to the bit. `paper` does not promise it (its inversion is
# not exact), and new noise is new noise.
EXACT = (ways.PREVIOUS_GAP, ways.AUTO_GUIDANCE, "matched", "fixed-point")
TIME, WEAK_CALL, SWITCH_MS = 1.03, 1.10, 1.0  # at most


def sample_euler(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """k-diffusion's, without churn: it is not needed for one sampler."""
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i] * x.new_ones(len(x)), **extra_args)
        if callback is not None:
            callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
        x = x + (x - denoised) / sigmas[i] * (sigmas[i + 1] - sigmas[i])
    return x


class Asked:
    """A side's network, and how often it was asked for how many rows. `under`: the overlay that it is asked under."""

    def __init__(self, network: Callable, under=None):
        self.network, self.under, self.calls = network, under, Counter()

    def __call__(self, x, sigma, cond):
        self.calls[len(x)] += 1
        if self.under is None:
            return self.network(x, sigma, cond)
        with self.under.on():
            return self.network(x, sigma, cond)


@dataclass
class Row:
    """Of one way of one gap; None: not known on this device."""

    gap: str
    way: str
    rows: int
    time: float  # over that of its network calls by themselves
    waits: Counter  # for the device, by place
    memory: "int | None" = None  # bytes in use at most, over the plain run's
    faults: list = field(default_factory=list)


@dataclass
class Found:
    """Of one network in one precision. Bytes, seconds, milliseconds."""

    network: Network
    pictures: int
    plain_rows: int = 0
    plain_time: float = 0.0
    plain_memory: "int | None" = None
    rows: "list[Row]" = field(default_factory=list)
    switch_ms: dict = field(default_factory=dict)  # of the weak side of each gap
    weak_call: dict = field(default_factory=dict)  # its time over a strong call's
    kept: int = 0  # of the weak checkpoint, by its own count
    kept_measured: "int | None" = None
    load_seconds: float = 0.0
    faults: list = field(default_factory=list)

    @property
    def all_faults(self) -> list:
        return [*self.faults, *(f"{row.gap}, {row.way}: {fault}" for row in self.rows for fault in row.faults)]


class Bench:
    """judged: whether times are held to their limits; the rest always is."""

    def __init__(self, machine: Machine, size: Size, dtype, steps: int, times: int, judged: bool):
        self.machine, self.size, self.dtype = machine, size, dtype
        self.steps, self.times, self.judged = steps, times, judged
        self.network = Network(size, dtype, machine.device, seed=1)
        self._alone = {}  # seconds of a call, by overlay and rows
        n = size.pictures
        self.noise, self.cond = self.network.noise(n), self.network.texts(n)
        self.uncond = self.network.texts(n, seed=3)
        high, low = (torch.tensor(sigma).log() for sigma in SIGMAS)
        sigmas = torch.linspace(high, low, steps).exp()
        self.sigmas = torch.cat([sigmas, torch.zeros(1)]).to(machine.device)

    def found(self) -> Found:
        found = Found(self.network, self.size.pictures)
        plain, asked = self.plain()
        found.plain_rows = plain.rows
        found.plain_memory = self.machine.peak(self.plain)
        found.plain_time = self.over_calls(asked, self.plain)
        if not torch.isfinite(plain.x).all():
            found.faults.append("the plain picture is not finite")
        for gap, weak, same, settings in (
            ("guidance", nullcontext, nullcontext, {"weak_cfg": 0.0}),
            ("LoRA", partial(self.lora, -2.3), partial(self.lora, 0.0), AT_CFG_1),
            ("checkpoint", partial(self.checkpoint, found), self.copy, AT_CFG_1),
        ):
            with weak() as overlay:
                rows = [self.row(found, gap, overlay, reflecting(way, **settings)) for way in ways.WAYS]
                if overlay is not None:
                    self.weak_side(found, gap, overlay)
            with same() as overlay:
                for row in rows:
                    if row.way in EXACT:
                        equal, _ = self.run(overlay, reflecting(row.way, weak_cfg=CFG))
                        if not torch.equal(equal.x, plain.x):
                            off = (equal.x - plain.x).abs().max().item()
                            row.faults.append(f"equal sides differ from the plain picture, by up to {off:.3g}")
            found.rows += rows
        return found

    def plain(self):
        return self.run(None, None)

    def run(self, overlay, settings) -> "tuple[Run, tuple[Asked, ...]]":
        """One run, and its sides; `overlay`: what the weak side is asked under, None where the CFG scale is all."""
        strong = Asked(self.network)
        weak = Asked(self.network, overlay) if overlay else None
        told = {"cond": self.cond, "uncond": self.uncond, "cond_scale": CFG, "sampler": sample_euler}
        return sample(strong, self.noise, self.sigmas, settings, weak, **told), (strong, weak) if weak else (strong,)

    def row(self, found: Found, gap: str, overlay, settings) -> Row:
        def run():
            return self.run(overlay, settings)

        if self.judged:
            run()  # what is done once is done
        with self.machine.waits() as waits:
            made, asked = run()
        before = self.machine.allocated()
        peak = self.machine.peak(run)
        after = self.machine.allocated()
        row = Row(gap, settings.inversion, made.rows, self.over_calls(asked, run), waits)
        if peak is not None:
            row.memory = peak - found.plain_memory
            if after > before:
                row.faults.append(f"{after - before} bytes are left in memory")
        if not torch.isfinite(made.x).all():
            row.faults.append("the picture is not finite")
        if made.trace.ended != "whole" or made.rows != made.trace.rows:
            row.faults.append(f"the trace ends {made.trace.ended}, with {made.trace.rows} of {made.rows} rows")
        if self.judged and row.time > TIME:
            row.faults.append(f"it takes {row.time:.3f} times what its calls take; allowed is {TIME:g}")
        row.faults += unexplained(waits, made.trace)
        return row

    def over_calls(self, asked, run: Callable) -> float:
        """The time of a run over that of its network calls, each with its number of rows, by themselves."""
        alone = sum(self.call_seconds(side.under, n) * times for side in asked for n, times in side.calls.items())
        return self.machine.seconds(run, self.times) / alone

    @torch.inference_mode()
    def call_seconds(self, overlay, rows: int) -> float:
        """Of a call under an overlay, by itself."""
        if (overlay, rows) not in self._alone:
            x, cond, side = self.network.noise(rows), self.network.texts(rows), Asked(self.network, overlay)
            sigma = x.new_ones(rows)
            side(x, sigma, cond)
            self._alone[overlay, rows] = self.machine.seconds(lambda: side(x, sigma, cond), 2 * self.times + 1)
        return self._alone[overlay, rows]

    def weak_side(self, found: Found, gap: str, overlay) -> None:
        """What its switch takes, and a call of it."""

        def switched():
            with overlay.on():
                pass

        ms = found.switch_ms[gap] = self.machine.seconds(switched, 50) * 1e3
        if ms > SWITCH_MS:
            found.faults.append(f"the weak side of the {gap} gap is switched in {ms:.2f} ms; allowed is {SWITCH_MS:g}")
        weak, strong = (self.call_seconds(one, self.size.pictures) for one in (overlay, None))
        found.weak_call[gap] = weak / strong
        if self.judged and weak / strong > WEAK_CALL:
            found.faults.append(f"a weak call of the {gap} gap takes {weak / strong:.2f} times a strong one's time")

    @contextmanager
    def lora(self, scale: float):
        """At `scale` more than the picture's own, in every layer of the attentions."""
        generator = torch.Generator().manual_seed(4)

        def factor(*shape):
            drawn = torch.randn(shape, generator=generator) / shape[1] ** 0.5
            return drawn.to(self.machine.device)

        def changes(unet):
            found = {}
            for name, module in unet.named_modules():
                if isinstance(module, torch.nn.Linear) and ".attn" in name:
                    down, up = factor(RANK, module.in_features), factor(module.out_features, RANK)
                    both = concatenated([(scale, down, up)])
                    found[module] = Change(low_rank=tuple(part.to(self.dtype) for part in both))
            return found

        overlay = Overlay(changes)
        with overlay.installed(self.network.unet):
            yield overlay

    @contextmanager
    def checkpoint(self, found: Found):
        """Another network's weights, from a file."""
        slots = exchange.slots_of(self.network.unet)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "weak.safetensors"
            save_file(Network(self.size, self.dtype, self.machine.device, seed=2).unet.state_dict(), path)
            gc.collect()
            before = self.machine.allocated()
            weights = exchange.load(open_weights("weak", path), "weak", slots)
        found.kept, found.load_seconds = weights.bytes, weights.seconds
        if before is not None:
            found.kept_measured = self.machine.allocated() - before
        yield from self.exchanged(weights)

    @contextmanager
    def copy(self):
        """The same weights once more."""
        slots = exchange.slots_of(self.network.unet)
        yield from self.exchanged(
            exchange.Weights("same", {k: exchange.like(s.tensor, s.tensor) for k, s in slots.items()})
        )

    def exchanged(self, weights):
        overlay = exchange.CheckpointOverlay(weights, exchange.slots_of)
        with overlay.installed(self.network.unet):
            yield overlay
        weights.tensors.clear()


def reflecting(way: str, **settings) -> Settings:
    """By this way at all steps but the last."""
    return Settings(enabled=True, inversion=way, lambda_steps=-1, **settings)


def unexplained(waits: Counter, trace) -> list:
    """Where the program waited for the device without need, or more often than the trace says, in sentences."""
    steps, asked = trace.steps, Counter(evaluation["step"] for evaluation in trace.evaluations).values()
    most = {
        "schedule.py _pairs": steps + 1,  # the schedule is read before the run
        "window.py _number": steps,  # where each step stands
        "denoiser.py check": steps + 1,  # whether the sides' answers are numbers, a call late
        # Whether latent, sigma and text are those of rows that are there, of which a call has two kinds at most.
        "rows.py _same": sum(2 * 3 * n * (n - 1) // 2 for n in asked),
        "sampling.py noise": steps,  # drawn on the CPU, as a WebUI's
    }
    return [
        f"{place} waits for the device {times} times, where the trace explains {most.get(place, 0)}"
        for place, times in sorted(waits.items())
        if times > most.get(place, 0)
    ]
