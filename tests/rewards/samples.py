"""Pictures and prompts to be scored, always the same."""

import numpy as np
from PIL import Image

PROMPTS = ["a cat", "a dog on a red sofa, " * 20, "three apples"]
SIZES = (64, 64), (96, 40), (33, 70)
_RANDOM = np.random.default_rng(0)
PICTURES = [Image.fromarray(_RANDOM.integers(0, 256, (*size, 3), dtype=np.uint8)) for size in SIZES]
