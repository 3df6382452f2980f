"""What W2SD relies on in a WebUI, and what of it one lacks: forks rename things from month to month.

An entry is "module", "module:attribute.path", or, with parameters that W2SD gives by name,
"module:attribute.path(parameter, parameter)". What the classes' RELIES_ON lists hold is compared with the tests'
stand-in, signature by signature; the lists here are of what has to be there for these classes to be imported at all.
"""

import functools
import importlib
import inspect
from importlib.util import find_spec

WORKS_IN = "AUTOMATIC1111's WebUI 1.10, Forge, Forge Neo, ersatzForge and reForge"

COMMON = (
    "modules.errors:report",
    "modules.extra_networks:parse_prompts",
    "modules.errors:report(exc_info)",
    "modules.images:GridAnnotation",
    "modules.images:draw_grid_annotations",
    "modules.images:image_grid",
    "modules.images:save_image(seed, prompt, short_filename, info, p, grid)",
    "modules.infotext_utils:PasteField",
    "modules.paths_internal:data_path",
    "modules.paths_internal:models_path",
    "modules.processing:Processed",
    "modules.processing:StableDiffusionProcessingImg2Img",
    "modules.processing:process_images",
    "modules.progress:current_task",
    "modules.prompt_parser",
    "modules.script_callbacks:callback_map",
    "modules.script_callbacks:on_app_started",
    "modules.script_callbacks:on_before_ui",
    "modules.script_callbacks:on_model_loaded",
    "modules.scripts:AlwaysVisible",
    "modules.scripts:PostSampleArgs",
    "modules.scripts:Script",
    "modules.scripts:scripts_data",
    "modules.sd_models:checkpoints_list",
    "modules.sd_models:list_models",
    "modules.sd_samplers_common:apply_refiner",
    "modules.sd_samplers_common:samples_to_images_tensor(approximation)",
    "modules.sd_samplers_kdiffusion:samplers_k_diffusion",
    "modules.sd_samplers_timesteps:samplers_timesteps",
    # Not sd_model: asking for that loads it.
    "modules.shared:cmd_opts",
    "modules.shared:device",
    "modules.shared:opts",
    "modules.shared:prompt_styles",
    "modules.shared:state",
    "modules.ui_components:InputAccordion(label, elem_id)",
)
_BACKEND = ("backend.memory_management:get_free_memory", "backend.memory_management:load_models_gpu")
BY_KIND = {
    "a1111": ("modules.devices:autocast", "modules.sd_samplers_cfg_denoiser"),
    "forge": ("modules.sd_samplers_cfg_denoiser", "backend.sampling.sampling_function", *_BACKEND),
    "neo": (
        "modules.sd_samplers_cfg_denoiser",
        *_BACKEND,
        "backend.args:dynamic_args",
        "backend.patcher.base:ModelPatcher",
    ),
    "reforge": (
        "modules.devices:autocast",
        "ldm_patched.modules.model_management:get_free_memory",
        "ldm_patched.modules.model_management:load_models_gpu",
        "ldm_patched.modules.samplers",
    ),
}
# Of single gaps, by the room that makes them: without these only that gap goes.
_FORGE_LORA = (
    "backend.args:dynamic_args",
    "backend.operations_gguf:dequantize_tensor",
    "backend.patcher.lora:merge_lora_to_weight(computation_dtype)",
    "backend.utils:get_attr_with_parent",
    "backend.utils:nested_move_to_device(device, dtype)",
)
_FORGE_CHECKPOINT = (*_FORGE_LORA, "gguf", "backend.operations_gguf:ParameterGGUF", "backend.patcher.base:ModelPatcher")
_SECOND = (
    "backend.args:dynamic_args",
    "backend.loader:forge_loader(additional_state_dicts)",
    "backend.memory_management:soft_empty_cache",
    "backend.nn.vae:DiagonalGaussianDistribution",
    "backend.nn.vae:DiagonalGaussianDistribution.mode",
    "backend.sampling.sampling_function:sampling_function",
    "backend.sampling.sampling_function:sampling_prepare",
    "modules.script_callbacks:CFGDenoiserParams",
    "modules_forge.main_entry:module_list",
)
_NEO_LORA = (
    *_FORGE_LORA,
    "backend.memory_management:load_models_gpu",
    "backend.patcher.base:LowVramPatch",
    "backend.patcher.base:LowVramPatch.__init__(key, patches)",
    "backend.patcher.base:ModelPatcher.add_patches(patches, strength_patch, strength_model, filename, online_mode)",
    "backend.patcher.base:ModelPatcher.patch_weight_to_device(device_to, return_weight)",
    "backend.patcher.base:get_key_weight(model, key)",
    "backend.state_dict:state_dict_prefix_replace",
)
BY_ROOM = {
    "a1111.checkpoint": (
        "modules.devices:cpu",
        "modules.devices:device",
        "modules.lowvram:is_enabled",
        "modules.lowvram:send_everything_to_cpu",
        "modules.sd_models_config:find_checkpoint_config_near_filename",
        "modules.sd_unet:current_unet",
    ),
    "a1111.pipeline": ("modules.extensions:active",),
    "forge.lora": _FORGE_LORA,
    "forge.checkpoint": _FORGE_CHECKPOINT,
    "forge.second": _SECOND,
    "neo.second": _SECOND,
    "neo.lora": _NEO_LORA,
    "neo.patches": (*_NEO_LORA, "backend.patcher.base:ModelPatcher"),
    "neo.checkpoint": (
        *_FORGE_CHECKPOINT,
        *_NEO_LORA,
        "backend.quant_ops:QuantizedTensor",
        "backend.utils:load_torch_file",
    ),
}


def name_of(entry: str) -> str:
    """An entry without its parameters."""
    return entry.partition("(")[0]


def found(entry: str):
    """What an entry names. Raises ImportError or AttributeError where that is not there."""
    module, _, path = name_of(entry).partition(":")
    return functools.reduce(getattr, path.split(".") if path else (), importlib.import_module(module))


def missing(entries) -> list:
    """Those of the entries that this WebUI has not, without the parameters that it has."""
    lacking = []
    for entry in dict.fromkeys(entries):
        try:
            there = found(entry)
        except Exception:  # a module of the WebUI may fail in its own ways
            lacking.append(name_of(entry))
            continue
        wanted = entry.partition("(")[2].rstrip(")")
        if wanted and (less := _not_taken(there, wanted.split(", "))):
            lacking.append(f"{name_of(entry)}({', '.join(less)})")
    return lacking


def _not_taken(function, names: list) -> list:
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):
        return []
    # Another extension's wrapper, most likely: what it hands on cannot be seen.
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    return [name for name in names if name not in parameters]


def kind() -> str:
    """Which kind of WebUI this is: by what it can, not by its name, which forks share."""
    if find_spec("modules_forge") is None:
        return "a1111"
    if find_spec("backend") is None:
        return "reforge"
    return "neo" if missing(["backend.patcher.base:ModelPatcher.refresh_loras"]) else "forge"


def to_load(which: str) -> tuple:
    """What has to be there before the class for a kind of WebUI can be imported."""
    return COMMON + BY_KIND[which]


def demanded(host: type) -> list:
    """Of a class' RELIES_ON, what no single gap is alone in needing."""
    of_gaps = {name_of(entry) for entries in BY_ROOM.values() for entry in entries}
    return [entry for entry in host.RELIES_ON if name_of(entry).removesuffix(".__init__") not in of_gaps]


def lacks() -> list:
    """What this WebUI lacks for W2SD to work in it at all."""
    lacking = missing(to_load(kind()))
    if lacking:
        return lacking
    from .. import current

    try:
        return missing(demanded(current()))
    except Exception as error:  # what the lists have overlooked is no reason for a traceback either
        return [f"{type(error).__name__}: {error}"]


def listed(lacking: list) -> str:
    more = len(lacking) - 3
    return ", ".join(lacking[:3]) + (f" and {more} more" if more > 0 else "")


def sentence(lacking: list, cannot: str = "work in") -> str:
    """The one sentence for a WebUI that W2SD cannot work in."""
    return f"W2SD cannot {cannot} this WebUI, which lacks {listed(lacking)}; it works in {WORKS_IN}."
