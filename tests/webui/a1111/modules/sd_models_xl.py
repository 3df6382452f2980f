def apply_model(self, x, t, cond):
    return self.model.diffusion_model(x, t, cond["c_crossattn"][0])
