"""ComfyUI (seen with 0.3.64): the method as nodes. A gap is two guiders, of any kind.

A guider is a complete side: model, conditioning, ControlNets, CFG. `nested` opens the weak one within the strong one's
sampling, `sides` evaluates both, `nodes` is what the user sees.
"""

from .nodes import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]
