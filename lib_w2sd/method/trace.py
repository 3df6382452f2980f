"""What a run did: every evaluation with its rows and its time, every reflection with its gap."""

import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

import torch


@dataclass
class Pass:
    """One sampling run (one batch of the first or of the hires pass)."""

    name: str  # txt2img, img2img or hires
    sampler: str
    steps: int
    reflected: int
    inversion: str
    evaluations: list = field(default_factory=list)
    reflections: list = field(default_factory=list)
    of: "Trace | None" = field(default=None, repr=False)
    overlays: list = field(default_factory=list)  # what was changed in the UNet, and what that took
    toggles: list = field(default_factory=list)  # milliseconds to switch a side's overlays on and off, each time
    ended: str = ""  # whole, interrupted or failed
    _gaps: dict = field(default_factory=dict, repr=False)  # of the latest step and the one before

    @contextmanager
    def evaluation(self, kind: str, step: int, t, rows):
        """Time one evaluation of the host's denoiser. `kind`: strong, weak, measure or step. `rows()`: so far.

        The time is the host program's: on a GPU, which works on behind it, it is the time to queue the work.
        """
        t = t.clone() if isinstance(t, torch.Tensor) else t  # who is asked may change it
        before, start = rows(), time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        self.evaluations.append({"step": step, "t": t, "kind": kind, "rows": rows() - before, "ms": seconds * 1e3})

    def reflection(self, step: int, t, t_next: float, gap: torch.Tensor, **pushed):
        """Note the gap d_strong - d_weak of a step (of its rounds: their sum): its norm a picture, its cosine to the
        step before. A step that the sampler took back is noted as it was in the end.

        pushed  effective_cfg, across: see push.Found
        """
        t = t.clone() if isinstance(t, torch.Tensor) else t  # the step's own call may change it
        flat = gap.detach().flatten(1).float()
        if self.reflections and self.reflections[-1]["step"] == step:
            self.reflections.pop()
        before = self._gaps.get(step - 1)
        cosine = None if before is None else torch.nn.functional.cosine_similarity(flat, before).mean()
        self._gaps = {step - 1: before, step: flat}
        self.reflections.append(
            {"step": step, "t": t, "t_next": t_next, "gap_norm": flat.norm(dim=1).mean(), "cosine": cosine, **pushed}
        )

    def unguided(self, step: int):
        """The host has made the step's own call without guidance: it was pushed from no CFG scale."""
        if self.reflections and self.reflections[-1]["step"] == step:
            for name in ("effective_cfg", "across"):
                self.reflections[-1].pop(name, None)

    def gap_norms(self) -> torch.Tensor:
        """The size of the gap at every reflected step, still on the device."""
        return torch.stack([entry["gap_norm"] for entry in self.reflections])

    def close(self):
        """The pass has ended, however it ended: its request's trace is now the latest."""
        self._gaps = {}
        Trace.last = self.of

    @property
    def made(self) -> int:
        """The steps that the sampler has made: fewer than `steps` where it was interrupted."""
        return len({e["step"] for e in self.evaluations if e["kind"] == "step"})

    @property
    def rows(self) -> int:
        return sum(e["rows"] for e in self.evaluations)

    @property
    def seconds(self) -> float:
        return sum(e["ms"] for e in self.evaluations) / 1e3

    def summary(self) -> str:
        return (
            f"W2SD {self.name}, {self.sampler}: {self.reflected} of {self.steps} steps reflected "
            f"({self.inversion}), {self.rows} UNet rows, {self.seconds:.1f} s"
        )

    def as_dict(self) -> dict:
        """Plain numbers. Only here are they fetched from the device: a run itself never waits for its trace."""

        def plain(entries):
            return [
                {k: float(v.flatten()[0]) if isinstance(v, torch.Tensor) else v for k, v in entry.items()}
                for entry in entries
            ]

        return {
            "pass": self.name,
            "sampler": self.sampler,
            "steps": self.steps,
            "reflected": self.reflected,
            "made": self.made,
            "ended": self.ended,
            "inversion": self.inversion,
            "rows": self.rows,
            "seconds": self.seconds,
            "evaluations": plain(self.evaluations),
            "reflections": plain(self.reflections),
            "overlays": self.overlays,
            "toggle_ms": median(self.toggles) if self.toggles else None,
        }


class Trace:
    """All passes of one request. `Trace.last` is that of the latest pass that ended, or of a request that made none.

    said     why there is no pass; else ""
    sampled  of the batch at work: for each sampling function of ours that has been called, whether for a hires pass
    """

    last: "Trace | None" = None

    def __init__(self, said: str = ""):
        self.passes: list[Pass] = []
        self.said, self.sampled = said, []

    def add(self, **kwargs) -> Pass:
        self.passes.append(Pass(of=self, **kwargs))
        return self.passes[-1]

    def as_dict(self) -> dict:
        passes = [p.as_dict() for p in self.passes]
        return {"passes": passes, **({"said": self.said} if self.said else {})}
