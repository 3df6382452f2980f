from pathlib import Path

from backend.args import dynamic_args
from modules import sd_models


def forge_loader(sd, additional_state_dicts=None):
    """`loaded` lists the files of every call."""
    loaded.append([str(sd), *map(str, additional_state_dicts or ())])
    name = Path(sd).stem
    dynamic_args.reset()
    dynamic_args.klein = "klein" in name
    if name == "broken":
        raise ValueError("Failed to recognize model type!")
    return sd_models.Engine(name)


loaded = []
