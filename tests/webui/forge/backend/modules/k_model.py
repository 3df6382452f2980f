import torch


class KModel(torch.nn.Module):
    """The network in k-diffusion's coordinates, or in flow's: apply_model returns the denoised picture."""

    def __init__(self, diffusion_model, predictor):
        super().__init__()
        self.diffusion_model, self.predictor = diffusion_model, predictor

    def apply_model(
        self,
        x,
        t,
        c_concat=None,
        c_crossattn=None,
        control=None,
        transformer_options={},  # noqa: B006
        **kwargs,
    ):
        output = self.diffusion_model(self.predictor.calculate_input(t, x), self.predictor.timestep(t), c_crossattn)
        return self.predictor.calculate_denoised(t, output, x)
