"""A training run that goes on where it was stopped."""

import copy
import json
import time
from pathlib import Path

import torch

SAVE_EVERY = 120.0  # seconds


class Run:
    """Module, its averaged copy, optimiser, generator and step, kept in `folder`/`name`.pt.

    steps     of the whole run; the learning rate rises over the first 30, stays, and falls to zero over the last `cooling`
    average   the averaged weights reach back over about this share of the steps taken so far (power-law average,
              arXiv 2312.02696, eq. 121)
    """

    def __init__(
        self, name, module, optimiser, folder: Path, steps: int, cooling: float = 0.4, average: float = 0.08, seed=0
    ):
        self.name, self.module, self.optimiser, self.steps = name, module, optimiser, steps
        self.cooling, self.average = cooling, average
        self.averaged = copy.deepcopy(module).requires_grad_(False)
        self.generator = torch.Generator().manual_seed(seed)
        self.step, self.cpu, self.smooth, self.log = 0, 0.0, None, []
        self.path = folder / f"{name}.pt"
        folder.mkdir(parents=True, exist_ok=True)
        self.rates = [group["lr"] for group in optimiser.param_groups]
        if self.path.exists():
            self._read()
        self._started, self._saved, self._last = time.process_time(), time.time(), 0.0

    def _read(self):
        kept = torch.load(self.path, weights_only=False)
        self.module.load_state_dict(kept["module"])
        self.averaged.load_state_dict(kept["averaged"])
        self.optimiser.load_state_dict(kept["optimiser"])
        self.generator.set_state(kept["generator"])
        torch.set_rng_state(kept["torch"])
        self.step, self.cpu, self.smooth, self.log = (kept[key] for key in ("step", "cpu", "smooth", "log"))

    def save(self):
        """Write the state; a run that is killed meanwhile leaves the one before whole."""
        self.cpu, self._started = self.seconds, time.process_time()
        kept = {key: getattr(self, key) for key in ("step", "cpu", "smooth", "log")}
        kept |= {"generator": self.generator.get_state(), "torch": torch.get_rng_state()}
        kept |= {key: getattr(self, key).state_dict() for key in ("module", "averaged", "optimiser")}
        spare = self.path.with_suffix(".new")
        torch.save(kept, spare)
        spare.replace(self.path)
        self.path.with_suffix(".json").write_text(json.dumps(self.log, indent=0), encoding="utf-8")
        self._saved = time.time()

    @property
    def seconds(self) -> float:
        """Of one processor core, over all the run's parts."""
        return self.cpu + time.process_time() - self._started

    def rate(self) -> float:
        """The learning rate's factor at this step."""
        left = (self.steps - self.step) / max(1, self.cooling * self.steps)
        return min(1.0, (self.step + 1) / 30, left)

    def go(self, loss_of, at=None):
        """Take the steps that are left. loss_of(module, generator) -> (loss, {name: number}); at: {step: function(run)}."""
        self.module.train()
        while self.step < self.steps:
            for group, rate in zip(self.optimiser.param_groups, self.rates):
                group["lr"] = rate * self.rate()
            loss, told = loss_of(self.module, self.generator)
            self.optimiser.zero_grad()
            loss.backward()
            self.optimiser.step()
            self.step += 1
            with torch.no_grad():
                pull = 1 - (1 - 1 / self.step) ** (1 + 1 / self.average)
                for a, b in zip(self.averaged.parameters(), self.module.parameters()):
                    a.lerp_(b, pull)
            told = {"loss": loss.item(), **told}
            share = max(0.02, 1 / self.step)
            old = self.smooth or told
            self.smooth = {key: old[key] + share * (value - old[key]) for key, value in told.items()}
            if self.step % 20 == 0 or self.step == self.steps:
                line = {
                    "step": self.step,
                    **{k: round(v, 5) for k, v in self.smooth.items()},
                    "cpu": round(self.seconds),
                }
                self.log.append(line)
                print(f"{time.strftime('%H:%M:%S')} {self.name}", json.dumps(line), flush=True)
            if at and self.step in at:
                at[self.step](self)
            if time.time() - self._saved > SAVE_EVERY or self.step == self.steps or (at and self.step in at):
                self.save()
        return self
