"""Forge Neo of August 2026. With BUNDLED=1 its copy's own extensions are on."""

import datetime
import os
import re
import shutil
from pathlib import Path

from . import pins
from .checkouts import sources
from .commands import run
from .forge import PUBLISHED, SD15_WIDTH, TEXT_ENCODERS, XL_DEPTHS, Forge, any_width, replaced, sized
from .shared import Host
from .small import sizes

WAN = PUBLISHED + "Wan-AI/Wan2.1-T2V-14B/"
LLAMA = "backend/nn/llm/llama.py"
PACKAGES = "modules_forge/packages/huggingface_guess/"
# Real sizes of a text encoder that are a dataclass's defaults
QWEN_4B, QWEN_06B, QWEN_VL = (2560, 9728, 36, 32, 8), (1024, 3072, 28, 16, 8), (2560, 9728)
QWEN_8B, QWEN_25, GEMMA = (4096, 12288, 36, 32, 8), (3584, 18944, 28, 28, 4), (2304, 9216, 26, 8, 4)
MINISTRAL = (3072, 9216, 26, 32, 8)
LLM = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads")
KLEIN, QWEN_IMAGE, LUMINA = (
    PUBLISHED + name for name in ("black-forest-labs/FLUX.2-klein-4B", "Qwen/Qwen-Image", "neta-art/Neta-Lumina")
)
# A stand-in: what comes in is the film.
FFMPEG = '#!/bin/sh\nfor last; do :; done\ncat > "$last"\n'


def fields(values) -> str:
    return "".join(f"    {name}: int = {value}\n" for name, value in values)


def dataclass(name: str, old: tuple, new: dict, vocabulary: int = 151936) -> tuple:
    """`new` may leave sizes as they are."""
    begin, before = f"class {name}:\n    vocab_size: int = {vocabulary}\n", dict(zip(LLM, old))
    return begin + fields(before.items()), begin + fields({**before, **new}.items())


def key(name: str, axis: int = 1) -> str:
    return f'state_dict["{{}}{name}".format(key_prefix)].shape[{axis}]'


def found(indent: int, **sizes_of) -> str:
    """Lines that take sizes of the network from its file."""
    return "".join(f'{" " * indent}dit_config["{name}"] = {said}\n' for name, said in sizes_of.items())


# The diffusion models whose sizes are constants, and the text encoders whose sizes are in Python.
EDITS = (
    *TEXT_ENCODERS,
    (WAN + "text_encoder/config.json", sized(sizes.UMT5)),
    *(
        (PUBLISHED + f"{name}/vae/config.json", sized(sizes.WAN_VAE))
        for name in ("krea/Krea-2-Raw", "circlestone-labs/Anima")
    ),
    (f"{QWEN_IMAGE}/vae/config.json", sized(sizes.WAN_VAE)),
    *(
        (f"{name}/vae/config.json", sized(sizes.VAE))
        for name in (PUBLISHED + "Chroma", LUMINA, KLEIN, PUBLISHED + "baidu/ERNIE-Image")
    ),
    (PUBLISHED + "Chroma/text_encoder/config.json", sized(sizes.T5)),
    (f"{KLEIN}/text_encoder/config.json", sized(sizes.QWEN_KLEIN)),
    (f"{QWEN_IMAGE}/text_encoder/config.json", sized(sizes.QWEN25)),
    (f"{LUMINA}/text_encoder/config.json", sized(sizes.GEMMA)),
    (WAN + "vae/config.json", sized(sizes.WAN_VAE)),
    (PUBLISHED + "Tongyi-MAI/Z-Image-Turbo/text_encoder/config.json", sized(sizes.QWEN)),
    (PUBLISHED + "Tongyi-MAI/Z-Image-Turbo/vae/config.json", sized(sizes.VAE)),  # Flux's
    (
        PUBLISHED + "circlestone-labs/Anima/text_encoder/config.json",
        sized({"hidden_size": sizes.QWEN["hidden_size"]}),
    ),
    (
        LLAMA,
        replaced(
            dataclass("Qwen3_4BConfig", QWEN_4B, sizes.QWEN),
            dataclass("Qwen3_06BConfig", QWEN_06B, sizes.QWEN),
            dataclass("Qwen3_8BConfig", QWEN_8B, sizes.QWEN_KLEIN),
            dataclass("Qwen25_7BVLI_Config", QWEN_25, sizes.QWEN25, 152064),
            dataclass("Gemma2_2B_Config", GEMMA, sizes.GEMMA, 256000),
            dataclass("Ministral3_3BConfig", MINISTRAL, sizes.MINISTRAL, 131072),
            (
                "qwen_vl.Qwen2VLVisionTransformer(hidden_size=1280, output_hidden_size=config.hidden_size)",
                f"qwen_vl.Qwen2VLVisionTransformer(**{sizes.QWEN25_VISION!r}, output_hidden_size=config.hidden_size)",
            ),
            (
                fields(zip(("hidden_size", "intermediate_size"), QWEN_VL)) + "    lm_head: bool = False\n",
                fields(sizes.QWEN_VL.items()) + "    lm_head: bool = False\n",
            ),
            (
                "self.llm_adapter = LLMAdapter()",
                "self.llm_adapter = LLMAdapter(*[config.hidden_size] * 3, num_layers=2, num_heads=2)",
            ),
        ),
    ),
    (
        "backend/nn/llm/qwen35.py",
        replaced(
            (
                "num_position_embeddings=2304, hidden_size=1024, intermediate_size=4096, depth=24,"
                " deepstack_visual_indexes=[5, 11, 17])",
                f"num_position_embeddings=2304)\nQWEN3VL_VISION.update({sizes.QWEN_VISION!r})",
            )
        ),
    ),
    (
        "backend/loader.py",
        replaced(
            (
                'elif config["hidden_size"] == 2560:',
                f'elif config["hidden_size"] == {sizes.QWEN["hidden_size"]} and cls_name == "Qwen3Model"'
                ' and "Z-Image" in config_path:',
            ),
            (
                'elif config["hidden_size"] == 4096:',
                f'elif config["hidden_size"] == {sizes.QWEN_KLEIN["hidden_size"]}:',
            ),
        ),
    ),
    (
        PACKAGES + "model_list.py",
        replaced(
            SD15_WIDTH,
            any_width(after='        "out_channels": 4,\n' + XL_DEPTHS % [0, 0, 2, 2, 10, 10]),
            ('        "dim": 3840,\n', ""),
            ('        "dim": 2304,\n', f'        "dim": {sizes.LUMINA2["dim"]},\n'),
            ('        "hidden_size": 3072,\n', f'        "hidden_size": {sizes.KLEIN["hidden_size"]},\n'),
        ),
    ),
    (
        PACKAGES + "detection.py",
        replaced(
            (
                '        dit_config["freq_dim"] = 256\n',
                '        dit_config["freq_dim"] = 256\n'
                f'        dit_config["text_dim"] = {key("text_embedding.0.weight")}\n',
            ),
            ('elif dit_config["dim"] == 3840:', f'elif dit_config["dim"] in ({sizes.ZIMAGE["dim"]}, 3840):'),
            (
                'dit_config["n_heads"] = 30\n            dit_config["n_kv_heads"] = 30',
                'dit_config["n_heads"] = dit_config["n_kv_heads"] = dit_config["dim"] // 128',
            ),
            ('        assert dit_config["model_channels"] == 2048\n', ""),
            (
                'dit_config["crossattn_emb_channels"] = 1024',
                f'dit_config["crossattn_emb_channels"] = {key("blocks.0.cross_attn.k_proj.weight")}',
            ),
            (
                'dit_config["num_blocks"] = 28',
                'dit_config["num_blocks"] = count_blocks(state_dict_keys, key_prefix + "blocks.{}.")',
            ),
            ('dit_config["num_heads"] = 16', 'dit_config["num_heads"] = dit_config["model_channels"] // 128'),
            ('if dit_config["dim"] == 2304:', f'if dit_config["dim"] in ({sizes.LUMINA2["dim"]}, 2304):'),
            (
                found(12, n_heads=24, n_kv_heads=8),
                found(12, n_heads='dit_config["dim"] // 96', n_kv_heads='max(dit_config["dim"] // 288, 1)'),
            ),
            (
                found(12, out_dim=3072, hidden_dim=5120),
                found(
                    12,
                    out_dim='dit_config["hidden_size"]',
                    hidden_dim=key("distilled_guidance_layer.in_proj.weight", 0),
                ),
            ),
            (
                found(
                    8, num_layers='count_blocks(state_dict_keys, "{}transformer_blocks.".format(key_prefix) + "{}.")'
                ),
                found(
                    8,
                    num_layers='count_blocks(state_dict_keys, key_prefix + "transformer_blocks.{}.")',
                    num_attention_heads=key("img_in.weight", 0) + " // 128",
                    joint_attention_dim=key("txt_norm.weight", 0),
                ),
            ),
            (
                '        dit_config = {"image_model": "ernie"}\n',
                '        dit_config = {"image_model": "ernie"}\n'
                + found(
                    8,
                    hidden_size=key("final_linear.weight"),
                    num_attention_heads='dit_config["hidden_size"] // 128',
                    num_layers='count_blocks(state_dict_keys, key_prefix + "layers.{}.")',
                    ffn_hidden_size=key("layers.0.mlp.linear_fc2.weight"),
                    text_in_dim=key("text_proj.weight"),
                ),
            ),
        ),
    ),
)


def is_bundled(path: Path) -> bool:
    """Of a folder in `extensions`: the suite's own are links."""
    return path.is_dir() and not path.is_symlink()


class Neo(Host):
    name, title = "neo", "Forge Neo"
    pythons = ((3, 11), (3, 14))
    repository_folder, webui_folder = "repository", "repository/webui"
    flags = (
        "--cpu",
        "--skip-prepare-environment",
        "--skip-python-version-check",
        "--skip-torch-cuda-test",
        "--skip-version-check",
        "--no-hashing",
        "--disable-console-progressbars",
    )
    first_checkpoint = "small-sd15"
    hidden_tabs = ("Extras", "PNG Info", "Checkpoint Merger", "Extensions")
    model_script, model_arguments, model_parts = "neo.py", ("neo",), ("forge.py",)
    edits = EDITS
    more_files = Forge.more_files

    def small_models(self) -> None:
        """Chroma's tokenizer is T5's, which the copy's repository leaves out for Chroma."""
        of_t5, of_chroma = (
            self.webui / PUBLISHED / name / "tokenizer.json"
            for name in ("black-forest-labs/FLUX.1-dev/tokenizer_2", "Chroma/tokenizer")
        )
        if of_t5.is_file() and not of_chroma.exists():
            shutil.copy2(of_t5, of_chroma)
        super().small_models()

    def options(self) -> dict:
        ours = {pin.name for pin in pins.EXTENSIONS[self.option]}
        there = {path.name for path in (self.webui / "extensions").iterdir() if is_bundled(path)}
        bundled = sorted(there - ours)
        off = [] if os.environ.get("BUNDLED") else bundled
        return {**super().options(), **self.version(), "disabled_extensions": off}

    def version(self) -> dict:
        """It takes a config.json without this for an old version's, and waits for Enter."""
        launch = self.webui / "modules/launch_utils.py"
        found = re.search(r'^VERSION_UID\b.*= "(\w+)"', launch.read_text(encoding="utf-8"), re.MULTILINE)
        return {"VERSION_UID": found[1]} if found else {}

    def link(self) -> None:
        super().link()
        # Where it writes pictures for the page that are not kept.
        (self.webui / "tmp").mkdir(exist_ok=True)
        program: Path = self.folder / "bin/ffmpeg"  # a video wants one
        program.parent.mkdir(exist_ok=True)
        program.write_text(FFMPEG)
        program.chmod(0o755)


class NewestNeo(Neo):
    """Of the newest commit, with what its own requirements ask for; what its copy bundles is not there."""

    name, title, option = "neo-newest", "the newest Forge Neo", "neo"
    repository_folder = webui_folder = "webui"

    def pin(self) -> pins.Pin:
        repository, branch = pins.NEWEST_NEO
        source = sources(pins.Pin(repository, "", ""), self.mirror)[0]
        said = run(["git", "ls-remote", "--exit-code", source, f"refs/heads/{branch}"], f"Asking {source} for {branch}")
        return pins.Pin(repository, said.split()[0], datetime.date.today().isoformat())

    def requirements(self) -> list:
        """As they are, but for what would bring another torch."""
        text = (self.webui / "requirements.txt").read_text(encoding="utf-8")
        ours = [line for line in text.splitlines() if not re.match(r"(torch|torchvision|setuptools)\b", line)]
        path = self.folder / "requirements.txt"
        path.write_text("\n".join([*ours, *self.torch, "setuptools==80.9.0"]) + "\n", encoding="utf-8")
        return ["-r", path]
