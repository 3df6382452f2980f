"""A stand-in for the two WebUIs: the parts of their `modules` that the extension touches, in the tests' own words.

Samplers are k-diffusion's, the network is a small UNet of diffusers with random weights, a "picture" is its latent.
Each flavour is a set of folders on the path, `both` and its own, so that imports look as they do in the host:

    with tests.webui.opened("forge") as host:
        host.txt2img({"lambda_steps": 3}, prompt="a cat").pictures

What the folders hold is held to the real hosts by `signatures`, which tests/live compares with theirs.
"""

from .host import FLAVOURS, Host, opened, signatures

__all__ = ["FLAVOURS", "Host", "opened", "signatures"]
