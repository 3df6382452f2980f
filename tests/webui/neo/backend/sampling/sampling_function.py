import math

import torch


def together_with(length, other):
    """The host repeats both to their common multiple, if none more than four times."""
    return math.lcm(length, other) <= 4 * min(length, other)


def of_the_call(split: bool) -> dict:
    """What the host says of a call beside its rows; `split`: whether it is one of several."""
    return {}


def sampling_function(self, denoiser_params, cond_scale, cond_composition, extra_model_options=None):
    """(denoised, of the cond, of the uncond); at CFG 1 the uncond is left out and comes back as zeros."""
    unet = self.inner_model.inner_model.forge_objects.unet
    model_options = {**unet.model_options, **(extra_model_options or {})}
    x, sigma = denoiser_params.x, denoiser_params.sigma
    # One group of rows for each part of AND; its weight is the last picture's.
    groups = []
    for parts in zip(*cond_composition):
        groups.append((denoiser_params.text_cond[[row for row, _ in parts]], parts[-1][1]))
    texts = [text for text, _ in groups]
    skips = math.isclose(cond_scale, 1.0) and not model_options.get("disable_cfg1_optimization")
    if not skips and denoiser_params.text_uncond is not None:
        texts.append(denoiser_params.text_uncond)

    outputs, waiting = [None] * len(texts), list(range(len(texts)))
    while waiting:
        length = texts[waiting[0]].shape[1]
        first = waiting[0]
        together = [k for k in reversed(waiting) if k == first or together_with(length, texts[k].shape[1])]
        waiting = [k for k in waiting if k not in together]
        kinds, n = [int(k >= len(groups)) for k in together], len(x)
        marks = [kind for kind in kinds for _ in range(n)]
        options = {
            **model_options.get("transformer_options", {}),
            "cond_or_uncond": kinds,
            "sigmas": sigma,
            "cond_mark": torch.tensor(marks, dtype=torch.float32),
            "cond_indices": [row for row, kind in enumerate(marks) if not kind],
            "uncond_indices": [row for row, kind in enumerate(marks) if kind],
            **of_the_call(len(together) < len(texts)),
        }
        common = math.lcm(*(texts[k].shape[1] for k in together))
        asked = torch.cat([x] * len(together)), torch.cat([sigma] * len(together))
        c = {
            "c_crossattn": torch.cat([texts[k].repeat(1, common // texts[k].shape[1], 1) for k in together]),
            "transformer_options": options,
        }
        wrapper = model_options.get("model_function_wrapper")
        if wrapper is None:
            output = unet.model.apply_model(*asked, **c)
        else:
            told = {"input": asked[0], "timestep": asked[1], "c": c, "cond_or_uncond": options["cond_or_uncond"]}
            output = wrapper(unet.model.apply_model, told)
        if unet.controlnet_linked_list is not None:
            output = unet.controlnet_linked_list.on(output)
        for k, part in zip(together, output.chunk(len(together))):
            outputs[k] = part

    strength = sum(weight for _, weight in groups)
    cond = sum(out * weight for out, (_, weight) in zip(outputs, groups)) / strength
    uncond = outputs[-1] if len(outputs) > len(groups) else torch.zeros_like(x)
    by = cond_scale if math.isclose(strength, 1.0) else cond_scale * strength
    denoised = uncond + (cond - uncond) * by
    for guide in model_options.get("sampler_post_cfg_function", []):
        denoised = guide({"denoised": denoised, "uncond_denoised": uncond, "input": x, "sigma": sigma})
    return denoised, cond, uncond


def sampling_prepare(unet, x): ...
