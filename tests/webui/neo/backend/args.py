class _Contained(type):
    def __getitem__(cls, name):
        return getattr(cls, name)

    def __contains__(cls, name):
        return hasattr(cls, name)


class dynamic_args(metaclass=_Contained):
    online_lora = wan = klein = False
    ref_latents = []
    concat_latent = None
    last_extra_generation_params = {}

    @classmethod
    def reset(cls):
        cls.ref_latents.clear()
        cls.concat_latent = None
