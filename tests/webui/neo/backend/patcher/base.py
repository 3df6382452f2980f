class ModelPatcher:
    def add_patches(self, patches, strength_patch=1.0, strength_model=1.0, *, filename=None, online_mode=None):
        pass

    def patch_weight_to_device(self, key, device_to=None, inplace_update=False, return_weight=False, force_cast=False):
        pass


class LowVramPatch:
    def __init__(self, key, patches, convert_func=None, set_func=None):
        pass


def get_key_weight(model, key): ...
