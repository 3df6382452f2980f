"""The lab's prompts: "bright bag", "dark", "boot" or nothing at all, read as the labels that its models know."""

import torch

from .data import ATTRIBUTES, CLASSES
from .network import NO_ATTRIBUTE, NO_CLASS


def labels_of(text: str) -> tuple:
    """(class, attribute) of one prompt; what is not named is left out. Raises ValueError for any other word."""
    kind, attribute = NO_CLASS, NO_ATTRIBUTE
    for word in text.lower().replace(",", " ").split():
        if word in CLASSES:
            kind = CLASSES.index(word)
        elif word in ATTRIBUTES:
            attribute = ATTRIBUTES.index(word)
        else:
            raise ValueError(f"the prompt has {word!r}; allowed words are {', '.join(ATTRIBUTES + CLASSES)}")
    return kind, attribute


def labels(texts: list) -> torch.Tensor:
    """[B, 2] for the prompts of a batch."""
    return torch.tensor([labels_of(text) for text in texts])


def every_prompt() -> list:
    """Each attribute of each class: 20 prompts."""
    return [f"{attribute} {kind}" for kind in CLASSES for attribute in ATTRIBUTES]


def without_attribute(text: str) -> str:
    return " ".join(word for word in text.split() if word not in ATTRIBUTES)
