import torch

from tests.webui.network import ALPHAS_CUMPROD


def _per_picture(sigma, x):
    return sigma.reshape(sigma.shape + (1,) * (x.ndim - sigma.ndim)) if sigma.ndim else sigma


class AbstractPrediction(torch.nn.Module):
    """What the network predicts: noise, or in a rectified flow ("const") the velocity."""

    def __init__(self, sigma_data=1.0, prediction_type="epsilon"):
        super().__init__()
        self.sigma_data, self.prediction_type = sigma_data, prediction_type

    @property
    def sigma_min(self):
        return self.sigmas[0]

    @property
    def sigma_max(self):
        return self.sigmas[-1]

    @property
    def is_flow(self):
        return self.prediction_type == "const"

    def calculate_input(self, sigma, noise):
        return noise if self.is_flow else noise / (_per_picture(sigma, noise) ** 2 + self.sigma_data**2) ** 0.5

    def percent_to_sigma(self, percent):
        return self.sigmas[round(999 * (1 - percent))].item()

    def calculate_denoised(self, sigma, model_output, model_input):
        return model_input - model_output * _per_picture(sigma, model_output)

    def noise_scaling(self, sigma, noise, latent_image, max_denoise=False):
        sigma = _per_picture(sigma, noise)
        return sigma * noise + ((1 - sigma) if self.is_flow else 1) * latent_image


class Prediction(AbstractPrediction):
    def __init__(self):
        super().__init__()
        self.register_buffer("sigmas", ((1 - ALPHAS_CUMPROD) / ALPHAS_CUMPROD) ** 0.5)

    def timestep(self, sigma):
        return (sigma.log() - self.sigmas.log()[:, None]).abs().argmin(0)

    def schedule(self, n):
        at = torch.linspace(999, 0, n)
        return torch.cat([self.sigmas[at.round().long()], self.sigmas.new_zeros(1)])


class PredictionFlow(AbstractPrediction):
    def __init__(self):
        super().__init__(prediction_type="const")
        self.register_buffer("sigmas", torch.arange(1, 1001) / 1000)

    def timestep(self, sigma):
        return 1000 * sigma

    def schedule(self, n):
        return torch.linspace(1, 0, n + 1)
