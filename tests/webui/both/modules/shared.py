from types import SimpleNamespace

import torch

device = torch.device("cpu")
cmd_opts = SimpleNamespace(api_auth=None, no_prompt_history=False)
sd_model = None
prompt_styles = None  # styles.Styles, once the host has started
opts = SimpleNamespace(
    batch_cond_uncond=True,
    enable_pnginfo=True,
    enable_prompt_comments=True,
    eta_ancestral=1.0,
    eta_ddim=0.0,
    grid_extended_filename=False,
    grid_format="png",
    grid_save=True,
    hires_fix_refiner_pass="second pass",
    img2img_fix_steps=False,
    pad_cond_uncond=False,
    outdir_grids="",
    outdir_txt2img_grids="grids",
    pad_cond_uncond_v0=False,
    refiner_switch_by_sample_steps=False,
    sd_model_checkpoint="strong",
    s_churn=0.0,
    s_min_uncond=0.0,
    s_min_uncond_all=False,
    skip_early_cond=0.0,
    use_old_scheduling=False,
)


class State(SimpleNamespace):
    def dict(self):
        return {"sampling_step": self.sampling_step, "sampling_steps": self.sampling_steps}


state = State(
    current_latent=None,
    interrupted=False,
    sampling_step=0,
    sampling_steps=0,
    skipped=False,
    previews=0,
    job_count=-1,
    job_no=0,
    stopping_generation=False,
)
