"""What the hosts have in common about LoRAs: the files that they know."""

import sys

from ...errors import CheckpointError
from ...weights.file import open_weights


def networks():
    """The module of the host's built-in LoRA extension, None where that is switched off."""
    return sys.modules.get("networks")


def find(name: str) -> "str | None":
    """The file of the LoRA that a prompt means by `name`, None if there is none."""
    host = networks()
    if not host:
        return None

    def entry():
        by_name = name.lower() in host.forbidden_network_aliases  # an alias that several files claim
        return (host.available_networks if by_name else host.available_network_aliases).get(name)

    if entry() is None:
        host.list_available_networks()
    found = entry()
    return found and found.filename


def names() -> list:
    return sorted(networks().available_networks) if networks() else []


def unreadable(file: str) -> "str | None":
    """Why a LoRA's file cannot be read, in words that go on from "was given ...,"; None: it can. Looked at here, before
    the host's own reader does: Forge's renames a file that it cannot read."""
    try:
        open_weights("", file)
    except CheckpointError as error:
        return error.why
