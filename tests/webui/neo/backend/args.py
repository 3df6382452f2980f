class dynamic_args:
    online_lora = wan = klein = False
    ref_latents = []
    concat_latent = None
    last_extra_generation_params = {}

    @classmethod
    def reset(cls):
        cls.ref_latents.clear()
        cls.concat_latent = None
