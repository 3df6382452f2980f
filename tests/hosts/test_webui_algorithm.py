"""Algorithm 1 written out over the bare network, against the picture that the extension makes in the stand-in."""

import pytest
import torch

from ..webui.network import encode

STEPS, LAMBDA = 5, 3
REQUEST = {"prompt": "a cat", "negative_prompt": "blurry", "cfg_scale": 6.0, "steps": STEPS}
GAPS = {
    "guidance": ({"weak_cfg": 0}, (6.0, "a cat", "blurry"), (0.0, "a cat", "blurry")),
    "guidance, negative scale": ({"weak_cfg": -2}, (6.0, "a cat", "blurry"), (-2.0, "a cat", "blurry")),
    "guidance, own strong scale": (
        {"weak_cfg": 0.5, "strong_cfg": 3},
        (3.0, "a cat", "blurry"),
        (0.5, "a cat", "blurry"),
    ),
    "prompt": (
        {"weak_prompt": "a dog of {prompt}", "weak_cfg": 1, "strong_cfg": 1},
        (1.0, "a cat", "blurry"),
        (1.0, "a dog of a cat", "blurry"),
    ),
    "negative prompt": (
        {"weak_negative_prompt": "{prompt}, {negative_prompt}", "weak_cfg": 6},
        (6.0, "a cat", "blurry"),
        (6.0, "a cat", "a cat, blurry"),
    ),
    "both": (
        {"weak_prompt": "house", "weak_negative_prompt": "", "weak_cfg": 2, "strength": 0.7},
        (6.0, "a cat", "blurry"),
        (2.0, "house", ""),
    ),
}


def guided(network, side):
    scale, prompt, negative = side

    def model(x, t):
        cond, uncond = (network(x, t, encode(text)[None]) for text in (prompt, negative))
        return uncond + scale * (cond - uncond)

    return model


def in_sigma(host):
    """denoised(x, sigma, context), k-diffusion's coordinates or flow's."""
    model = host.shared.sd_model
    if host.forge:
        return lambda x, sigma, context: host.metered.apply_model(x, sigma.expand(1), c_crossattn=context)
    wrapped = host.sd_models.in_sigma(model)
    return lambda x, sigma, context: wrapped(x, sigma.expand(1), cond={"c_crossattn": [context]})


def euler_by_hand(host, settings, strong, weak, sigmas, scaled=True):
    """Algorithm 1 with Euler steps; every inversion in its own words."""
    network = in_sigma(host)
    own, strong, weak = (guided(network, side) for side in ((6.0, "a cat", "blurry"), strong, weak))
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)) * sigmas[0]

    def d(model, x, sigma):
        return (x - model(x, sigma)) / sigma

    way, strength, before = settings["inversion"], settings.get("strength", 1.0), None
    for i, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        h = sigma_next - sigma
        if way == "auto-guidance":
            gap = d(strong, x, sigma) - d(weak, x, sigma)
            x = x + h * (d(own, x, sigma) + (strength * gap if i < LAMBDA else 0))
            continue
        if way == "previous-gap":
            if before is not None and i < LAMBDA:
                x = x + strength * h * before
            before = d(strong, x, sigma) - d(weak, x, sigma)
        elif i < LAMBDA:
            x_next = x + h * d(strong, x, sigma)
            if settings["inversion"] == "paper":
                seen = x_next * ((1 + sigma**2) / (1 + sigma_next**2)) ** 0.5 if scaled else x_next
                reflected = x_next - h * d(weak, seen, sigma)
            elif settings["inversion"] == "matched":
                reflected = x_next - h * d(weak, x, sigma)
            else:
                reflected = x
                for _ in range(3):
                    reflected = x_next - h * d(weak, reflected, sigma)
            x = x + strength * (reflected - x)
        x = x + h * d(own, x, sigma)
    return x[0]


def ddim_by_hand(host, settings, strong, weak, alphas, timesteps):
    """Equations (1) to (4): DDIM steps between (t, abar) pairs, timesteps from the noisiest on."""
    if host.forge:

        def network(x, t, context):
            return host.unet(x, torch.tensor([t]), context)

    else:

        def network(x, t, context):
            return host.shared.sd_model.apply_model(x, torch.tensor([float(t)]), {"c_crossattn": [context]})

    own, strong, weak = (guided(network, side) for side in ((6.0, "a cat", "blurry"), strong, weak))
    x = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))

    def moved(x, eps, now, after):
        clean = (x - (1 - now) ** 0.5 * eps) / now**0.5
        return after**0.5 * clean + (1 - after) ** 0.5 * eps

    for i, (t, t_next) in enumerate(zip(timesteps[:-1], timesteps[1:])):
        now, after = alphas[t], alphas[t_next]
        if i < LAMBDA:
            x_next = moved(x, strong(x, t), now, after)
            if settings["inversion"] == "fixed-point":
                reflected = x
                for _ in range(3):
                    reflected = moved(x_next, weak(reflected, t), after, now)
            else:
                at = x if settings["inversion"] == "matched" else x_next
                reflected = moved(x_next, weak(at, t), after, now)
            x = x + settings.get("strength", 1.0) * (reflected - x)
        x = moved(x, own(x, t), now, after)
    return x[0]


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-3 * expected.std().item())


inversions = pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point"])
gaps = pytest.mark.parametrize("gap", GAPS)


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point", "previous-gap", "auto-guidance"])
@gaps
@torch.no_grad()
def test_euler(host, gap, inversion):
    settings, strong, weak = GAPS[gap]
    settings = {**settings, "inversion": inversion}
    sigmas = host.sd_models.in_sigma(host.shared.sd_model).get_sigmas(STEPS)
    expected = euler_by_hand(host, settings, strong, weak, sigmas)
    close(host.txt2img({"lambda_steps": LAMBDA, **settings}, **REQUEST).pictures[0], expected)


@inversions
@gaps
@torch.no_grad()
def test_ddim(host, gap, inversion):
    settings, strong, weak = GAPS[gap]
    settings = {**settings, "inversion": inversion}
    timesteps = list(range(1, 1001, 1000 // STEPS))[::-1]
    alphas = host.sd_models.in_timesteps(host.shared.sd_model).inner_model.alphas_cumprod
    expected = ddim_by_hand(host, settings, strong, weak, alphas, timesteps)
    close(host.txt2img({"lambda_steps": LAMBDA, **settings}, sampler_name="DDIM", **REQUEST).pictures[0], expected)


@pytest.mark.parametrize("inversion", ["paper", "matched", "fixed-point", "previous-gap", "auto-guidance"])
@gaps
@torch.no_grad()
def test_flow(forge, gap, inversion):
    forge.sd_models.SELECTED = "flow"
    forge.sd_models.load("flow")
    settings, strong, weak = GAPS[gap]
    settings = {**settings, "inversion": inversion}
    expected = euler_by_hand(forge, settings, strong, weak, torch.linspace(1, 0, STEPS + 1), scaled=False)
    close(forge.txt2img({"lambda_steps": LAMBDA, **settings}, **REQUEST).pictures[0], expected)


@torch.no_grad()
def test_the_tolerance_tells_the_unscaled_form_from_the_papers(host):
    settings, strong, weak = GAPS["guidance"]
    sigmas = host.sd_models.in_sigma(host.shared.sd_model).get_sigmas(STEPS)
    wrong = euler_by_hand(host, {**settings, "inversion": "paper"}, strong, weak, sigmas, scaled=False)
    found = host.txt2img({"lambda_steps": LAMBDA, **settings}, **REQUEST).pictures[0]
    with pytest.raises(AssertionError):
        close(found, wrong)
