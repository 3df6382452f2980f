"""What the tests ask for where they do not say otherwise."""

# A reflection of the paper's strength. The extension's own defaults are asked for by the tests that are about them.
REFLECTED = {"enabled": True, "inversion": "matched", "strength": 1.0}
