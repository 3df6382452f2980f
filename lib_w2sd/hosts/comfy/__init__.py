"""ComfyUI (seen with 0.3.64): the method as nodes. A gap is two guiders, of any kind.

A guider is a complete side: model, conditioning, ControlNets, CFG. `nested` opens the weak one within the strong one's
sampling, `sides` evaluates both, `nodes` is what the user sees, with `widgets` of the settings and `last_run`'s words.
"""
