from modules_forge import denoiser


class CFGDenoiser(denoiser.CFGDenoiser):
    def forward(self, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond):
        return self.denoised(x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond)
