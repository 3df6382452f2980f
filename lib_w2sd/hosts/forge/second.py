"""A second model beside the loaded one, of any architecture that Forge can load: its network, text encoders and VAE.

The host's own loader makes it and the host's memory manager moves it: on the GPU is what computes, and only while it
does where there is no room for both.
"""

import functools
import gc
import time
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import torch
from backend import loader, memory_management
from backend.args import dynamic_args
from backend.nn.vae import DiagonalGaussianDistribution
from backend.sampling.sampling_function import sampling_function, sampling_prepare
from modules import prompt_parser, shared
from modules.script_callbacks import CFGDenoiserParams
from modules_forge import main_entry

from ...errors import CheckpointError, SettingError, is_out_of_memory
from ...method.bridge import Space, predicted
from ...page.settings import BY_NAME
from ...weights.exchange import reporting_memory
from ..models import checkpoints
from ..sampling.isolation.noise import Noises
from ..sampling.isolation.swapped import swapped
from ..sampling.prompts.conds import only_uncond

MODULES, STORAGE = "weak_model_modules", "forge_unet_storage_dtype"


@dataclass(eq=False)
class Loaded:
    """A second model in memory. `arguments`: what the host keeps of it elsewhere, by name (Forge Neo)."""

    name: str
    engine: object
    seconds: float
    arguments: dict = field(default_factory=dict)

    @property
    def unet(self):
        return self.engine.forge_objects.unet

    @functools.cached_property
    def bytes(self) -> int:
        objects = self.engine.forge_objects
        parts = (objects.unet.model, objects.clip.cond_stage_model, objects.vae.first_stage_model)
        return sum(tensor.nbytes for part in parts for tensor in part.state_dict().values())

    def as_dict(self) -> dict:
        return {"model": self.name, "bytes": self.bytes, "load_seconds": self.seconds}


class Kept:
    """The second model asked last stays in memory: loading one takes longer than a picture."""

    def __init__(self):
        self.loaded, self._key = None, None

    def get(self, paths: list, load) -> Loaded:
        """That of these files in the precision that the host has for networks, loaded unless it is the one kept."""
        precision = dynamic_args[STORAGE] if STORAGE in dynamic_args else None
        files = [(str(path), Path(path).stat().st_mtime_ns, Path(path).stat().st_size) for path in paths]
        if self.loaded is None or (files, precision) != self._key:
            self.free()
            self.loaded, self._key = load(), (files, precision)
        return self.loaded

    def free(self) -> None:
        if self.loaded is not None:
            self.loaded = self._key = None
            gc.collect()
            memory_management.soft_empty_cache()


KEPT = Kept()


def modules() -> dict:
    """The host's files of VAEs and text encoders: name -> path."""
    return dict(main_entry.module_list)


def files_of(settings) -> list:
    """The paths of the weak model's modules. Raises SettingError, with the names that there are."""
    there, setting = modules(), BY_NAME[MODULES]
    found = []
    for name in (part.strip() for part in getattr(settings, MODULES).split(",")):
        named = [path for known, path in there.items() if name in (known, Path(known).stem)]
        if name and len(named) != 1:
            has = f", which are {', '.join(there)}" if there else "; there is none"
            setting.refuse(name, f", not one in the WebUI's list{has}")
        found += named[:1] if name else []
    return found


class SecondModel:
    """gaps.Model of one sampling pass. Raises CheckpointError where the files are none that this WebUI can load."""

    kept = KEPT

    def __init__(self, host, settings):
        self.host, self.given, self.noises = host, settings.weak_model, {}
        info = checkpoints.find(self.given)
        parts = files_of(settings)
        try:
            self.model = self.kept.get([info.filename, *parts], functools.partial(self._load, info, parts))
        except FileNotFoundError as error:
            missing = Path(error.filename or info.filename).name
            raise CheckpointError(self.given, f"but the file {missing} is not there any more.") from error
        self.say_what_else_would_do(info)

    # ------------------------------------------------------------------ what differs from host to host

    def apart(self, arguments: dict):
        """Around work of the second model: what the host keeps in one place for all models is this one's."""
        return nullcontext()

    def is_video(self, engine) -> bool:
        """Whether its latents have a place for time."""
        return False

    # ------------------------------------------------------------------ loading

    def _load(self, info, parts: list) -> Loaded:
        start, arguments = time.perf_counter(), {}
        why = "but there is not enough memory for a second model beside the loaded one. Choose none, or free memory."
        with reporting_memory(self.given, why), self.apart(arguments):
            try:
                engine = loader.forge_loader(info.filename, additional_state_dicts=parts)
            except Exception as error:  # whatever its own loader says of a file
                if is_out_of_memory(error):
                    raise
                engine, because = None, f": {type(error).__name__}: {error}"
            else:
                because = ""
        if engine is None:
            raise CheckpointError(
                self.given,
                f"which this WebUI cannot load with the VAE and text encoders given ({MODULES}){because[:200]}. Models "
                "like Flux need these files by name.",
            )
        if engine.is_inpaint:
            raise CheckpointError(
                self.given, "which is an inpainting model; allowed is one that draws from a prompt alone."
            )
        return Loaded(info.name, engine, time.perf_counter() - start, arguments)

    def say_what_else_would_do(self, info) -> None:
        loaded = shared.sd_model
        if Path(info.filename).resolve() == Path(loaded.sd_checkpoint_info.filename).resolve():
            self.host.comment(
                "W2SD: the weak model is the loaded checkpoint itself: only another CFG scale or prompt makes a gap, "
                "and what decoding and encoding change."
            )
        elif self._shapes(loaded) == self._shapes(self.model.engine):
            self.host.comment(
                "W2SD: the weak model has the loaded one's architecture. As weak checkpoint it does the same without "
                "the way through pixels, in less time and memory."
            )

    @staticmethod
    def bytes_of(settings) -> int:
        """About what the weak model takes in memory: the size of its files; 0 where they cannot be found."""
        try:
            paths = [checkpoints.find(settings.weak_model).filename, *files_of(settings)]
            return sum(Path(path).stat().st_size for path in paths)
        except (CheckpointError, SettingError, OSError):
            return 0  # the request will say it

    @staticmethod
    def _shapes(engine) -> dict:
        network = engine.forge_objects.unet.model.diffusion_model
        return {name: tuple(tensor.shape) for name, tensor in network.named_parameters()}

    # ------------------------------------------------------------------ gaps.Model

    def as_dict(self) -> dict:
        return self.model.as_dict()

    def read(self, prompts, negative_prompts):
        engine = self.model.engine
        with self.apart(self.model.arguments):
            engine.set_clip_skip(int(getattr(shared.opts, "CLIP_stop_at_last_layers", 1)))
            self.cond = self.host.encode(prompts, False, engine)
            self.uncond = self.host.encode(negative_prompts, True, engine)

    def answer(self, signal, noise, level, scale):
        """Raises SettingError for a video, which is no picture that both could see."""
        video = signal.ndim == 5
        if video and signal.shape[2] > 1:
            BY_NAME["weak_model"].refuse(self.given, ", for a video; through pixels goes one picture at a time")
        signal, noise = (z[:, :, 0] if video else z for z in (signal, noise))
        spaces = (self.space(shared.sd_model), self.space(self.model.engine))

        def asked(picture, noise):
            return self.denoised(picture, noise, level, scale).to(picture)

        found = predicted(signal, noise, *spaces, asked, self.own_noise)
        return found[:, :, None] if video else found

    def own_noise(self, shape):
        """Of the picture's seeds; the same at every call."""
        if shape not in self.noises:
            self.noises[shape] = Noises(self.host.p, "W2SD weak model").drawn(shape)
        return self.noises[shape]

    def space(self, engine) -> Space:
        """Of pictures from -1 to 1 [B, 3, H, W] and an engine's latents [B, C, h, w]."""
        vae, video = engine.forge_objects.vae, self.is_video(engine)
        stage = vae.first_stage_model

        def decode(z):
            pictures = [vae.decode(stage.process_out(one)) for one in (z[:, :, None].split(1) if video else (z,))]
            pictures = torch.cat([one[:, 0] if video else one for one in pictures])
            return (pictures.movedim(-1, 1) * 2 - 1).to(z)

        def encode(pictures):
            seen = pictures.movedim(1, -1) * 0.5 + 0.5
            # The mean of what the encoder says: its own noise would be a gap.
            with swapped(DiagonalGaussianDistribution, "sample", DiagonalGaussianDistribution.mode):
                latents = [stage.process_in(vae.encode(one)) for one in (seen.split(1) if video else (seen,))]
            return torch.cat([one[:, :, 0] if video else one for one in latents]).to(pictures)

        return Space(decode, encode)

    def denoised(self, picture, noise, level, scale: float):
        """The network's own prediction at this clean latent with so much noise: [B, C, h, w]; level [B]."""
        unet, device = self.model.unet, self.model.unet.load_device
        picture, noise, level = picture.to(device), noise.to(device), level.to(device).float()
        predictor = unet.model.predictor
        flow = predictor.prediction_type == "const"
        sigma = 1 / (1 + 1 / level) if flow else level
        # Beyond what it has been taught it sees its most, or least, noise.
        sigma = sigma.clamp(float(predictor.sigma_min), float(predictor.sigma_max))
        each = sigma.view(-1, 1, 1, 1)
        y = (1 - each if flow else 1) * picture + each * noise
        if self.is_video(self.model.engine):
            y = y[:, :, None]
        sampling_prepare(unet, y)
        network, meter = unet.model.apply_model, self.host.shared_rows.meter
        counted = functools.wraps(network)(lambda *args, **kwargs: meter.call(network, args, kwargs))
        with swapped(unet.model, "apply_model", counted), swapped(meter, "under", (self,)):
            with self.apart(self.model.arguments):
                found = self._guided(y, sigma, scale)
        return found[:, :, 0] if found.ndim == 5 else found

    def _guided(self, y, sigma, scale: float):
        """As the host's denoiser asks its network."""
        step, cond, uncond = self.host.webui.denoiser.step, self.cond, self.uncond
        weighted = any(sum(part.weight for part in parts) != 1 for parts in cond.batch)
        if scale == 0:
            cond, scale = only_uncond(uncond), 1.0
        elif scale == 1 and weighted:
            scale = 1 + 1e-6  # see Forge.call
        composition, text = prompt_parser.reconstruct_multicond_batch(cond, step)
        negative = prompt_parser.reconstruct_cond_batch(uncond, step)
        state = shared.state
        asked = CFGDenoiserParams(
            x=y,
            image_cond=None,
            sigma=sigma,
            sampling_step=state.sampling_step,
            total_sampling_steps=state.sampling_steps,
            text_cond=text,
            text_uncond=negative,
        )
        denoiser = SimpleNamespace(inner_model=SimpleNamespace(inner_model=self.model.engine), p=self.host.p)
        return sampling_function(denoiser, denoiser_params=asked, cond_scale=scale, cond_composition=composition)[0]
