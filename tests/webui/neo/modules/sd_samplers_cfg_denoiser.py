from modules_forge import denoiser


class CFGDenoiser(denoiser.CFGDenoiser):
    @property
    def classic_ddim_eps_estimation(self):
        return self.timesteps

    def forward(self, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond, **kwargs):
        more = {"extra_model_options": kwargs.get("model_options", {})}
        return self.denoised(x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond, **more)
