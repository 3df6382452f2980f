"""As the newest Neos of October 2026: prompt and negative prompt are asked for apart where `shared.batch_cond_uncond`
is off, and a call says whether it is one of several. Retold after beautifulrem's branch remi (696d8aa)."""

import importlib.util
import sys
from pathlib import Path

from modules import shared

_AUGUST = Path(__file__).resolve().parents[3] / "neo" / "backend" / "sampling" / "sampling_function.py"
_spec = importlib.util.spec_from_file_location("backend.sampling.function_of_august", _AUGUST)
_august = importlib.util.module_from_spec(_spec)
sys.modules[_spec.name] = _august  # by which the host's own functions are told
_spec.loader.exec_module(_august)
sampling_function, sampling_prepare = _august.sampling_function, _august.sampling_prepare
_together_with = _august.together_with


def together_with(length, other):
    return getattr(shared, "batch_cond_uncond", True) and _together_with(length, other)


def of_the_call(split):
    return {"split_conditions": split}


_august.together_with, _august.of_the_call = together_with, of_the_call
