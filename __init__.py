"""ComfyUI's door to lib_w2sd/hosts/comfy. Whoever else imports this finds nothing."""

import sys

if "comfy.samplers" in sys.modules:
    from .lib_w2sd.hosts.comfy.nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS  # noqa: F401
