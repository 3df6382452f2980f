from types import SimpleNamespace

import torch
from modules import devices, extra_networks, prompt_parser, sd_models, sd_samplers, shared
from modules.flavour import FORGE
from modules.shared import cmd_opts, state
from PIL import Image

last_infotext = None

DEFAULTS = {
    "prompt": "a cat",
    "negative_prompt": "blurry",
    "seed": 1,
    "batch_size": 1,
    "n_iter": 1,
    "steps": 6,
    "cfg_scale": 6.0,
    "width": 64,
    "height": 64,
    "sampler_name": "Euler",
    "eta": None,
    "refiner_checkpoint": None,
    "refiner_switch_at": 0.5,
    "enable_hr": False,
    "mask": None,
    "nmask": None,
    "distilled_cfg_scale": 3.5,
    "subseed": 0,
    "subseed_strength": 0,
    "styles": (),
    "override_settings": {},
    "do_not_save_samples": False,
    "do_not_save_grid": False,
    "outpath_grids": "grids",
}


class ImageRNG:
    """Noise for each picture of a batch, from its own seed."""

    def __init__(self, shape, seeds, subseeds=(), subseed_strength=0):
        self.shape, self.generators = tuple(shape), [torch.Generator().manual_seed(seed) for seed in seeds]
        self.varied = list(subseeds) if subseed_strength else []
        self.subseed_strength = subseed_strength

    def next(self):
        found = [torch.randn(self.shape, generator=generator) for generator in self.generators]
        for i, subseed in enumerate(self.varied):
            other = torch.randn(self.shape, generator=torch.Generator().manual_seed(subseed))
            found[i] = slerp(self.subseed_strength, found[i], other)
        self.varied = []  # only what a picture starts from
        return torch.stack(found)


def slerp(val, low, high):
    low_norm, high_norm = (x / torch.norm(x, dim=1, keepdim=True) for x in (low, high))
    omega = torch.acos((low_norm * high_norm).sum(1))
    so = torch.sin(omega)
    return (torch.sin((1 - val) * omega) / so).unsqueeze(1) * low + (torch.sin(val * omega) / so).unsqueeze(1) * high


class StableDiffusionProcessing:
    def __init__(self, scripts, script_args, **fields):
        vars(self).update(DEFAULTS)
        vars(self).update(fields)
        self.scripts, self.script_args = scripts, script_args
        self.extra_generation_params, self.comments = {}, {}
        self.sampler = self.c = self.uc = None
        self.is_hr_pass, self.iteration = False, 0
        scripts.run("setup", self)

    def comment(self, text):
        self.comments[text] = 1

    def init(self): ...

    def batch(self, values):
        return values[self.iteration * self.batch_size : (self.iteration + 1) * self.batch_size]

    def conditioning(self, texts, negative, width, height, distilled):
        more = {"distilled_cfg_scale": distilled} if FORGE else {}
        return prompt_parser.SdConditioning(texts, is_negative_prompt=negative, width=width, height=height, **more)

    def setup_conds(self):
        self.firstpass_steps = sd_samplers.find_sampler_config(self.sampler_name).total_steps(self.steps)
        size, model = (self.width, self.height, self.distilled_cfg_scale), shared.sd_model
        positive = self.conditioning(self.prompts, False, *size)
        negative = self.conditioning(self.negative_prompts, True, *size)
        with devices.autocast():
            self.c = prompt_parser.get_multicond_learned_conditioning(model, positive, self.firstpass_steps)
            # Forge makes none where it counts on not needing it.
            needless = FORGE and self.cfg_scale == 1
            self.uc = None
            if not needless:
                self.uc = prompt_parser.get_learned_conditioning(model, negative, self.firstpass_steps)

    def get_conds(self):
        return self.c, self.uc

    def hook_before_sampling(self, x, noise, c, uc):
        self.scripts.run("process_before_every_sampling", self, x=x, noise=noise, c=c, uc=uc)

    def image_conditioning(self, x):
        return x.new_zeros(len(x), 5, 1, 1)


class StableDiffusionProcessingTxt2Img(StableDiffusionProcessing):
    hr_scale, hr_second_pass_steps, denoising_strength = 1.5, 0, 0.6
    hr_prompt = hr_negative_prompt = hr_sampler_name = None
    hr_cfg, hr_distilled_cfg = 1.0, 3.5

    def sample(self):
        self.sampler = sd_samplers.create_sampler(self.sampler_name, shared.sd_model)
        x = self.rng.next()
        sd_models.before_hook(shared.sd_model)
        self.hook_before_sampling(x, x, self.c, self.uc)
        samples = self.sampler.sample(self, x, self.c, self.uc, image_conditioning=self.image_conditioning(x))
        if not self.enable_hr or state.interrupted:
            return samples
        sd_models.load(sd_models.SELECTED)
        return self.sample_hr_pass(samples)

    def sample_hr_pass(self, samples):
        self.is_hr_pass = True
        self.hr_upscale_to_x, self.hr_upscale_to_y = int(self.width * self.hr_scale), int(self.height * self.hr_scale)
        self.sampler = sd_samplers.create_sampler(self.hr_sampler_name or self.sampler_name, shared.sd_model)
        samples = torch.nn.functional.interpolate(samples, size=(self.hr_upscale_to_y // 8, self.hr_upscale_to_x // 8))
        self.rng = ImageRNG(samples.shape[1:], self.seeds, self.subseeds, self.subseed_strength)
        noise = self.rng.next()
        self.hr_prompts = self.batch(self.all_hr_prompts)
        self.hr_negative_prompts = self.batch(self.all_hr_negative_prompts)
        self.hr_prompts, _ = extra_networks.parse_prompts(self.hr_prompts)
        self.calculate_hr_conds()
        self.scripts.run("before_hr", self)
        self.hook_before_sampling(samples, noise, self.hr_c, self.hr_uc)
        if FORGE:
            sd_models.before_hook(shared.sd_model)
            self.hook_before_sampling(samples, noise, self.hr_c, self.hr_uc)
        samples = self.sampler.sample_img2img(
            self,
            samples,
            noise,
            self.hr_c,
            self.hr_uc,
            steps=self.hr_second_pass_steps or self.steps,
            image_conditioning=self.image_conditioning(samples),
        )
        self.sampler = None
        self.is_hr_pass = False
        return samples

    def calculate_hr_conds(self):
        size = self.hr_upscale_to_x, self.hr_upscale_to_y, self.hr_distilled_cfg
        config = sd_samplers.find_sampler_config(self.hr_sampler_name or self.sampler_name)
        steps = self.firstpass_steps, config.total_steps(self.hr_second_pass_steps or self.steps)
        positive = self.conditioning(self.hr_prompts, False, *size)
        negative = self.conditioning(self.hr_negative_prompts, True, *size)
        self.hr_c = prompt_parser.get_multicond_learned_conditioning(shared.sd_model, positive, *steps)
        needless = FORGE and self.hr_cfg == 1
        self.hr_uc = None if needless else prompt_parser.get_learned_conditioning(shared.sd_model, negative, *steps)

    def setup_conds(self):
        if self.is_hr_pass:
            self.calculate_hr_conds()
        else:
            super().setup_conds()

    def get_conds(self):
        return (self.hr_c, self.hr_uc) if self.is_hr_pass else super().get_conds()


class StableDiffusionProcessingImg2Img(StableDiffusionProcessing):
    denoising_strength = 0.75

    def init(self):
        # One sampler, for all n_iter batches.
        self.sampler = sd_samplers.create_sampler(self.sampler_name, shared.sd_model)
        picture = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(99))
        self.init_latent = picture.expand(self.batch_size, -1, -1, -1).clone()

    def sample(self):
        noise = self.rng.next()
        sd_models.before_hook(shared.sd_model)
        self.hook_before_sampling(self.init_latent, noise, self.c, self.uc)
        conditioning = self.image_conditioning(self.init_latent)
        return self.sampler.sample_img2img(
            self, self.init_latent, noise, self.c, self.uc, image_conditioning=conditioning
        )


class Processed(SimpleNamespace):
    def __init__(self, p, images_list, seed=-1, info=""):
        super().__init__(images=images_list, seed=seed, info=info, infotexts=[info] * len(images_list))


def as_list(text, count):
    return text if isinstance(text, list) else [text] * count


def as_picture(latent):
    return Image.fromarray((latent[:3] * 40 + 128).clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy())


def process_images(p):
    """Latents in the place of pictures; everything else in the host's order."""
    global last_infotext
    run = p.scripts.run
    run("before_process", p)
    sd_models.load(sd_models.SELECTED)
    count = p.batch_size * p.n_iter
    p.all_prompts, p.all_negative_prompts = as_list(p.prompt, count), as_list(p.negative_prompt, count)
    p.all_hr_prompts = as_list(getattr(p, "hr_prompt", None) or p.all_prompts, count)
    p.all_hr_negative_prompts = as_list(getattr(p, "hr_negative_prompt", None) or p.all_negative_prompts, count)
    styles = shared.prompt_styles
    p.all_prompts = [styles.apply_styles_to_prompt(text, p.styles) for text in p.all_prompts]
    p.all_negative_prompts = [styles.apply_negative_styles_to_prompt(text, p.styles) for text in p.all_negative_prompts]
    p.all_hr_prompts = [styles.apply_styles_to_prompt(text, p.styles) for text in p.all_hr_prompts]
    p.all_hr_negative_prompts = [
        styles.apply_negative_styles_to_prompt(text, p.styles) for text in p.all_hr_negative_prompts
    ]
    each = 0 if p.subseed_strength else 1
    p.all_seeds = p.seed if isinstance(p.seed, list) else [p.seed + i * each for i in range(count)]
    p.all_subseeds = [p.subseed + i for i in range(count)]
    run("process", p)
    pictures, images, infotexts = [], [], []
    with torch.inference_mode() if FORGE else torch.no_grad():
        p.init()
        if state.job_count == -1:
            state.job_count = p.n_iter
        for iteration in range(p.n_iter):
            p.iteration = iteration
            state.skipped = False
            if state.interrupted:
                break
            sd_models.load(sd_models.SELECTED)
            p.prompts, p.seeds = p.batch(p.all_prompts), p.batch(p.all_seeds)
            p.negative_prompts = p.batch(p.all_negative_prompts)
            p.subseeds = p.batch(p.all_subseeds)
            p.rng = ImageRNG((4, p.height // 8, p.width // 8), p.seeds, p.subseeds, p.subseed_strength)
            about = {"batch_number": p.iteration, "prompts": p.prompts, "seeds": p.seeds, "subseeds": p.subseeds}
            run("before_process_batch", p, **about)
            p.prompts, p.extra_network_data = extra_networks.parse_prompts(p.prompts)
            run("after_extra_networks_activate", p, **about, extra_network_data=p.extra_network_data)
            run("process_batch", p, **about)
            p.setup_conds()
            samples = p.sample()
            run("post_sample", p, SimpleNamespace(samples=samples))
            run("postprocess_batch", p, batch_number=p.iteration, images=samples)
            pictures += list(samples.detach().clone())
            for p.batch_index, sample in enumerate(samples):
                finished = SimpleNamespace(image=as_picture(sample))
                run("postprocess_image_after_composite", p, finished)
                images.append(finished.image)
                infotexts.append(str(p.extra_generation_params))
            if not cmd_opts.no_prompt_history:
                last_infotext = infotexts[-1]
    processed = SimpleNamespace(
        pictures=pictures,
        params=dict(p.extra_generation_params),
        comments=list(p.comments),
        images=images,
        infotexts=infotexts,
        index_of_first_image=0,
    )
    run("postprocess", p, processed)
    return processed
