import torch
from modules import prompt_parser, sd_samplers_common, shared
from modules.script_callbacks import (
    AfterCFGCallbackParams,
    CFGDenoisedParams,
    CFGDenoiserParams,
    cfg_after_cfg_callback,
    cfg_denoised_callback,
    cfg_denoiser_callback,
)
from modules.shared import opts, state


class CFGDenoiser(torch.nn.Module):
    """Always asks for cond and uncond rows, cond first, in one batch where their prompts are of one length."""

    timesteps = False

    def __init__(self, sampler):
        super().__init__()
        self.sampler = sampler
        self.p = self.model_wrap = self.mask = self.nmask = self.init_latent = None
        self.steps = self.total_steps = self.last_noise_uncond = self.image_cfg_scale = None
        self.step = 0
        self.cond_scale_miltiplier = 1.0  # sic
        self.need_last_noise_uncond = self.padded_cond_uncond = self.padded_cond_uncond_v0 = False

    @property
    def mask_before_denoising(self):
        return self.timesteps

    def update_inner_model(self):
        self.model_wrap = None
        extra_args = self.sampler.sampler_extra_args
        extra_args["cond"], extra_args["uncond"] = self.p.get_conds()

    def combine_denoised(self, x_out, conds_list, uncond, cond_scale):
        without = x_out[-len(uncond) :]
        combined = without.clone()
        for i, parts in enumerate(conds_list):
            for row, weight in parts:
                combined[i] += (x_out[row] - without[i]) * (weight * cond_scale)
        return combined

    def clean(self, x, out, sigma):
        """The picture in `out`."""
        if not self.timesteps:
            return out
        abar = shared.sd_model.alphas_cumprod[sigma.long()][:, None, None, None]
        return (x - (1 - abar) ** 0.5 * out) / abar**0.5

    def blended(self, x):
        return x * self.nmask + self.init_latent * self.mask

    def drops_uncond(self, sigma, s_min_uncond):
        """And writes down why."""
        if opts.skip_early_cond and self.step / self.total_steps <= opts.skip_early_cond:
            self.p.extra_generation_params["Skip Early CFG"] = opts.skip_early_cond
            return True
        if (self.step % 2 or opts.s_min_uncond_all) and 0 < s_min_uncond and sigma[0] < s_min_uncond:
            self.p.extra_generation_params["NGMS"] = s_min_uncond
            return True
        return False

    def padded(self, cond, uncond):
        """Both of one length, if the user wants it so."""
        self.padded_cond_uncond = self.padded_cond_uncond_v0 = False
        missing = cond.shape[1] - uncond.shape[1]
        if missing and opts.pad_cond_uncond_v0:
            self.padded_cond_uncond_v0 = True
            last = uncond[:, -1:].expand(-1, max(missing, 0), -1)
            return cond, torch.cat([uncond, last], 1)[:, : cond.shape[1]]
        if missing and opts.pad_cond_uncond:
            self.padded_cond_uncond = True
            empty = shared.sd_model.cond_stage_model_empty_prompt

            def filled(c, more):
                return torch.cat([c] + [empty.expand(len(c), -1, -1)] * (more // empty.shape[1]), 1)

            return filled(cond, max(missing, 0)), filled(uncond, max(-missing, 0))
        return cond, uncond

    def evaluate(self, x, sigma, context, image_cond):
        return self.inner_model(x, sigma, cond={"c_crossattn": [context], "c_concat": [image_cond]})

    def forward(self, x, sigma, uncond, cond, cond_scale, s_min_uncond, image_cond):
        if state.interrupted or state.skipped:
            raise sd_samplers_common.InterruptedException
        if sd_samplers_common.apply_refiner(self, sigma):
            cond, uncond = (self.sampler.sampler_extra_args[name] for name in ("cond", "uncond"))
        conds_list, text_cond = prompt_parser.reconstruct_multicond_batch(cond, self.step)
        text_uncond = prompt_parser.reconstruct_cond_batch(uncond, self.step)
        if self.mask is not None and self.mask_before_denoising:
            x = self.blended(x)

        n = len(conds_list)
        pictures = torch.tensor([i for i, parts in enumerate(conds_list) for _ in parts] + list(range(n)))
        params = CFGDenoiserParams(
            x=x[pictures],
            image_cond=image_cond[pictures],
            sigma=sigma[pictures],
            sampling_step=state.sampling_step,
            total_sampling_steps=state.sampling_steps,
            text_cond=text_cond,
            text_uncond=text_uncond,
            denoiser=self,
        )
        cfg_denoiser_callback(params)
        rows, sigmas, images = params.x, params.sigma, params.image_cond
        skip = self.drops_uncond(sigma, s_min_uncond)
        text_cond, text_uncond = self.padded(params.text_cond, params.text_uncond)

        if skip:
            pieces = [(slice(0, len(rows) - n), text_cond)]
        elif text_cond.shape[1] != text_uncond.shape[1]:
            pieces = [(slice(0, len(rows) - n), text_cond), (slice(len(rows) - n, None), text_uncond)]
        else:
            pieces = [(slice(None), torch.cat([text_cond, text_uncond]))]
        if not opts.batch_cond_uncond:
            each = [(range(len(rows))[part], context) for part, context in pieces]
            pieces = [
                (slice(part[k], part[k] + n), context[k : k + n])
                for part, context in each
                for k in range(0, len(part), n)
            ]
        whole = skip and opts.batch_cond_uncond  # the host does not shorten the image conditions along with the rows
        out = torch.cat(
            [self.evaluate(rows[s], sigmas[s], context, images if whole else images[s]) for s, context in pieces]
        )
        first = [parts[0][0] for parts in conds_list]
        if skip:
            out = torch.cat([out, out[first]])  # the cond's in the uncond's place

        cfg_denoised_callback(CFGDenoisedParams(x=out, inner_model=self.inner_model))
        if self.need_last_noise_uncond:
            self.last_noise_uncond = out[-n:].clone()
        scale = 1.0 if skip else cond_scale * self.cond_scale_miltiplier
        denoised = self.combine_denoised(out, conds_list, text_uncond, scale)
        if self.mask is not None and not self.mask_before_denoising:
            denoised = self.blended(denoised)

        self.sampler.last_latent = self.clean(rows[first], out[first], sigma)
        sd_samplers_common.store_latent(self.clean(rows[first], denoised, sigma))
        after = AfterCFGCallbackParams(x=denoised)
        cfg_after_cfg_callback(after)
        self.step += 1
        return after.x
