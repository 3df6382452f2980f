"""What the tests ask for where they do not say otherwise."""

from lib_w2sd.page.settings import Settings

# A reflection of the paper's strength. The extension's own defaults are asked for by the tests that are about them.
REFLECTED = {"enabled": True, "inversion": "matched", "strength": 1.0}


def reflected(**given) -> Settings:
    return Settings(**{**REFLECTED, **given})
