"""The device: its clock, its memory, and where a program waits for it."""

import statistics
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.utils._python_dispatch import TorchDispatchMode

PROGRAM = Path(__file__).resolve().parents[2] / "lib_w2sd"
SYNCHRONISES = "called a synchronizing CUDA operation"
# On a CPU nothing waits. These hand a number of a tensor to the program, for which a GPU would be waited for.
# In inference mode the first three come as they are called, elsewhere as the fourth.
READING = "item is_nonzero equal _local_scalar_dense nonzero masked_select".split()


class Machine:
    def __init__(self, device: torch.device):
        self.device, self.cuda = device, device.type == "cuda"

    @property
    def name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.cuda else "a CPU"

    def settle(self) -> None:
        """Until all that was asked of it is done."""
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def seconds(self, work: Callable, times: int = 1) -> float:
        """The median of so many."""
        found = []
        for _ in range(times):
            self.settle()
            start = time.perf_counter()
            work()
            self.settle()
            found.append(time.perf_counter() - start)
        return statistics.median(found)

    def allocated(self) -> "int | None":
        """Bytes in use; None where that is not known."""
        return torch.cuda.memory_allocated(self.device) if self.cuda else None

    def peak(self, work: Callable) -> "int | None":
        """Bytes that `work` has in use beside what there was, at most; not asked for where that is not known."""
        if not self.cuda:
            return None
        self.settle()
        before = self.allocated()
        torch.cuda.reset_peak_memory_stats(self.device)
        work()
        self.settle()
        return torch.cuda.max_memory_allocated(self.device) - before

    @contextmanager
    def waits(self):
        """Yields a Counter of the places in the program that waited for the device within: "file.py function"."""
        found = Counter()
        if not self.cuda:
            with _Reads(found):
                yield found
            return
        before = torch.cuda.get_sync_debug_mode()
        self.settle()
        with warnings.catch_warnings():
            warnings.filterwarnings("always", message=SYNCHRONISES)
            shown = warnings.showwarning

            def note(message, *args, **kwargs):
                if SYNCHRONISES in str(message):
                    found.update(_place())
                else:
                    shown(message, *args, **kwargs)

            warnings.showwarning = note
            torch.cuda.set_sync_debug_mode("warn")
            try:
                yield found
            finally:
                torch.cuda.set_sync_debug_mode(before)


class _Reads(TorchDispatchMode):
    def __init__(self, found: Counter):
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._schema.name.removeprefix("aten::") in READING:
            self.found.update(_place())
        return func(*args, **(kwargs or {}))


def _place() -> "list[str]":
    """The innermost line of this project that is at work, where it is the program's; the network's own waits, and the
    sampler's, are theirs."""
    frame = sys._getframe(1)
    while frame is not None:
        path = Path(frame.f_code.co_filename)
        if path.parent == Path(__file__).parent and path.name != Path(__file__).name:
            return []
        # A comprehension is its function's, as Python 3.12 has it.
        if PROGRAM in path.parents and not frame.f_code.co_name.startswith("<"):
            return [f"{path.name} {frame.f_code.co_name}"]
        frame = frame.f_back
    return []
