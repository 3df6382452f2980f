"""Samplers that the WebUIs add to k-diffusion's, in the tests' own words; names and signatures are the hosts'.

Timestep samplers: `timesteps` ascending, x variance preserving, model(x, timestep) -> eps, and a schedule of n
timesteps makes n - 1 steps.
"""

import k_diffusion.sampling
import torch
from k_diffusion.sampling import get_sigmas_karras, to_d


def randn_like(x):
    # The hosts put their own noise source in the place of k-diffusion's torch.
    return k_diffusion.sampling.torch.randn_like(x)


def restart_plan(sigmas, restart_list):
    """(from, to) of every Heun step of Restart sampling, arXiv 2306.14878."""
    n = len(sigmas) - 1
    if restart_list is None:
        restart_list = {}
        if n >= 20:
            length, times = (n // 4, 2) if n >= 36 else (9, 1)
            sigmas = get_sigmas_karras(n - length * times, sigmas[-2].item(), sigmas[0].item())
            restart_list = {0.1: (length + 1, times, 2)}

    def nearest(sigma):
        return int((sigmas - sigma).abs().argmin())

    plan = []
    where = {nearest(low): how for low, how in restart_list.items()}
    for end in range(1, len(sigmas)):
        plan.append((sigmas[end - 1], sigmas[end]))
        points, times, high = where.get(end, (0, 0, 0))
        if times and nearest(high) < end:
            again = get_sigmas_karras(points, sigmas[end].item(), sigmas[nearest(high)].item())[:-1]
            plan += list(zip(again[:-1], again[1:])) * times
    return plan


@torch.no_grad()
def restart_sampler(model, x, sigmas, extra_args=None, callback=None, disable=None, s_noise=1.0, restart_list=None):
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    reached = None
    for i, (sigma, sigma_next) in enumerate(restart_plan(sigmas, restart_list)):
        if reached is not None and sigma > reached:
            x = x + randn_like(x) * s_noise * (sigma**2 - reached**2) ** 0.5
        denoised = model(x, sigma * ones, **extra_args)
        if callback:
            callback({"x": x, "i": i, "sigma": sigma_next, "sigma_hat": sigma, "denoised": denoised})
        d, h = to_d(x, sigma, denoised), sigma_next - sigma
        if sigma_next > 0:
            predicted = x + h * d
            d = (d + to_d(predicted, sigma_next, model(predicted, sigma_next * ones, **extra_args))) / 2
        x, reached = x + h * d, sigma_next
    return x


@torch.no_grad()
def sample_heunpp2(
    model, x, sigmas, extra_args=None, callback=None, disable=None, s_churn=0.0, s_tmin=0.0, s_tmax=1e9, s_noise=1.0
):
    """Heun++: up to three directions a step, weighted by their sigmas."""
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    last = len(sigmas) - 2
    for i in range(last + 1):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        if callback:
            callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
        directions, at = [to_d(x, sigmas[i], denoised)], x
        for j in range(i + 1, min(i + 2, last) + 1):
            at = at + (sigmas[j] - sigmas[j - 1]) * directions[-1]
            directions.append(to_d(at, sigmas[j], model(at, sigmas[j] * ones, **extra_args)))
        weights = [sigmas[i + k] / (len(directions) * sigmas[0]) for k in range(1, len(directions))]
        d = (1 - sum(weights)) * directions[0] + sum(w * d for w, d in zip(weights, directions[1:]))
        x = x + (sigmas[i + 1] - sigmas[i]) * d
    return x


@torch.no_grad()
def sample_lcm(model, x, sigmas, extra_args=None, callback=None, disable=None, noise_sampler=None):
    """Latent consistency: jump to the denoised picture and noise it again, in the very tensor the model returned."""
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    for i in range(len(sigmas) - 1):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        if callback:
            callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
        x = denoised
        if sigmas[i + 1] > 0:
            x += sigmas[i + 1] * randn_like(x)
    return x


def _ddim_step(x, eps, now, after, eta=0.0, noise_direction=None):
    """From alpha_bar `now` to `after`: DDIM, arXiv 2010.02502, eq. (12)."""
    spread = eta * ((1 - after) / (1 - now) * (1 - now / after)) ** 0.5
    clean = (x - (1 - now) ** 0.5 * eps) / now**0.5
    direction = eps if noise_direction is None else noise_direction
    moved = after**0.5 * clean + (1 - after - spread**2) ** 0.5 * direction
    return (moved + spread * randn_like(x) if eta else moved), clean


def _timestep_pairs(model, timesteps):
    """(timestep, its alpha_bar, the next one's, the next timestep), from the noisiest on."""
    alphas = model.inner_model.inner_model.alphas_cumprod
    for i in range(len(timesteps) - 1, 0, -1):
        yield timesteps[i].item(), alphas[timesteps[i]].item(), alphas[timesteps[i - 1]].item(), timesteps[i - 1].item()


def _report(callback, i, x, clean):
    if callback:
        callback({"x": x, "i": i, "sigma": 0, "sigma_hat": 0, "denoised": clean})


@torch.no_grad()
def ddim(model, x, timesteps, extra_args=None, callback=None, disable=None, eta=0.0):
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    for i, (t, now, after, _) in enumerate(_timestep_pairs(model, timesteps)):
        x, clean = _ddim_step(x, model(x, t * ones, **extra_args), now, after, eta)
        _report(callback, i, x, clean)
    return x


@torch.no_grad()
def ddim_cfgpp(model, x, timesteps, extra_args=None, callback=None, disable=None, eta=0.0):
    """CFG++: the way back into the noise follows the uncond's prediction."""
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    model.cond_scale_miltiplier = 1 / 12.5
    model.need_last_noise_uncond = True
    for i, (t, now, after, _) in enumerate(_timestep_pairs(model, timesteps)):
        eps = model(x, t * ones, **extra_args)
        x, clean = _ddim_step(x, eps, now, after, eta, model.last_noise_uncond)
        _report(callback, i, x, clean)
    return x


@torch.no_grad()
def plms(model, x, timesteps, extra_args=None, callback=None, disable=None):
    """Pseudo linear multistep, arXiv 2202.09778: an improved Euler step first, then Adams-Bashforth."""
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    adams_bashforth = {1: (3 / 2, -1 / 2), 2: (23 / 12, -16 / 12, 5 / 12), 3: (55 / 24, -59 / 24, 37 / 24, -9 / 24)}
    history = []
    for i, (t, now, after, t_next) in enumerate(_timestep_pairs(model, timesteps)):
        eps = model(x, t * ones, **extra_args)
        if history:
            weighted = sum(w * e for w, e in zip(adams_bashforth[len(history)], [eps, *history]))
        else:
            predicted, _ = _ddim_step(x, eps, now, after)
            weighted = (eps + model(predicted, t_next * ones, **extra_args)) / 2
        x, clean = _ddim_step(x, weighted, now, after)
        history = [eps, *history][:3]
        _report(callback, i, x, clean)
    return x


@torch.no_grad()
def unipc(model, x, timesteps, extra_args=None, callback=None, disable=None, is_img2img=False):
    """UniPC of order 1 (arXiv 2302.04867): one call a step, at the step's predicted end. The step is then corrected
    with it, from the latent before, and only the next step uses the answer as its own."""
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    log_alphas = model.inner_model.inner_model.alphas_cumprod.log()
    times = torch.linspace(timesteps[-1].item() if is_img2img else 999.0, 0.0, len(timesteps) + 1)

    def signal_and_noise(t):
        below = min(int(t), len(log_alphas) - 2)
        abar = torch.lerp(log_alphas[below], log_alphas[below + 1], t - below).exp()
        return abar.sqrt(), (1 - abar).sqrt()

    def clean(x, t):
        signal, noise = signal_and_noise(t)
        return (x - noise * model(x, t * ones, **extra_args)) / signal

    known = clean(x, times[0])
    for i, (t, t_next) in enumerate(zip(times[:-1], times[1:])):
        (signal, noise), (signal_next, noise_next) = signal_and_noise(t), signal_and_noise(t_next)
        kept, added = noise_next / noise, signal_next - signal * noise_next / noise
        predicted = kept * x + added * known
        if i + 1 == len(timesteps):
            x = predicted
        else:
            following = clean(predicted, t_next)
            x, known = kept * x + added * (known + following) / 2, following
        _report(callback, i, x, known)
    return x


# ------------------------------------------------------------------------------------------ Forge Neo's


@torch.no_grad()
def sample_Kohaku_LoNyu_Yog(model, x, sigmas, extra_args=None, callback=None, disable=None, eta=1.0):
    """Euler ancestral; up to the middle step, that one included, its direction is the mean of one here and one further
    on, where it is led by the model's answers at x and at -x."""
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    steps = len(sigmas) - 1
    for i in range(steps):
        denoised = model(x, sigmas[i] * ones, **extra_args)
        if callback:
            callback({"x": x, "i": i, "sigma": sigmas[i], "sigma_hat": sigmas[i], "denoised": denoised})
        d = to_d(x, sigmas[i], denoised)
        down, up = k_diffusion.sampling.get_ancestral_step(sigmas[i], sigmas[i + 1], eta=eta)
        if 2 * i <= steps:
            mirrored = to_d(-x, sigmas[i], model(-x, sigmas[i] * ones, **extra_args))
            further = x + (down - sigmas[i]) * (d + mirrored) / 2
            d = (d + to_d(further, sigmas[i], model(further, sigmas[i] * ones, **extra_args))) / 2
        x = x + (down - sigmas[i]) * d
        if 2 * i <= steps:
            x = x + up * randn_like(x)
    return x


@torch.no_grad()
def sample_dpmpp_2s_ancestral_RF(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """DPM-Solver++(2S) for rectified flow, without noise: a call midway in the log of (1 - sigma) / sigma."""
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    for i, (sigma, sigma_next) in enumerate(zip(sigmas[:-1], sigmas[1:])):
        denoised = model(x, sigma * ones, **extra_args)
        if callback:
            callback({"x": x, "i": i, "sigma": sigma, "sigma_hat": sigma, "denoised": denoised})
        if sigma_next > 0:
            between = 0.9999 if sigma == 1 else 1 / (1 + ((1 / sigma - 1) * (1 / sigma_next - 1)) ** 0.5)
            middle = between / sigma * x + (1 - between / sigma) * denoised
            denoised = model(middle, between * ones, **extra_args)
        x = sigma_next / sigma * x + (1 - sigma_next / sigma) * denoised
    return x


@torch.no_grad()
def sample_unipc(model, x, sigmas, extra_args=None, callback=None, disable=False, variant="bh1"):
    """UniPC of order 1 on sigmas: x is kept variance preserving, and what the model gets is a temporary. The answer's
    noise is taken at the temporary, and the signal from that noise and the sampler's own x."""
    extra_args, ones = extra_args or {}, x.new_ones(len(x))
    sigmas = sigmas.clone()
    sigmas[-1] = max(sigmas[-1].item(), 0.001)

    def signal_and_noise(sigma):
        return (1 / (1 + sigma**2)) ** 0.5, sigma / (1 + sigma**2) ** 0.5

    def clean(x, sigma):
        signal, noise = signal_and_noise(sigma)
        temporary = x / signal
        eps = (temporary - model(temporary, sigma * ones, **extra_args)) / sigma
        return (x - noise * eps) / signal

    x = x * signal_and_noise(sigmas[0])[0]
    for i, sigma in enumerate(sigmas[:-1]):
        if i == 0:
            known = clean(x, sigma)
        else:
            following = clean(predicted, sigma)  # noqa: F821
            x, known = kept * x + added * (known + following) / 2, following  # noqa: F821
        if callback:
            callback({"x": x, "i": i, "denoised": known})
        (signal, noise), (signal_next, noise_next) = signal_and_noise(sigma), signal_and_noise(sigmas[i + 1])
        kept, added = noise_next / noise, signal_next - signal * noise_next / noise
        predicted = kept * x + added * known
    return predicted / signal_next
