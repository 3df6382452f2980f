"""ComfyUI 0.3.64, with nodes for what is an accordion elsewhere."""

from . import pins
from .checkouts import checkout
from .forge import replaced, sized
from .shared import Host
from .small import sizes

G = sizes.CLIP["num_hidden_layers"]
# It tells SDXL's second text encoder by its 31st layer; here by the last, which the first one has not.
TELLS = "layers.{}.mlp.fc1.weight"
# ViT-H, which it tells by its 31st layer: as deep and of the same embedding as published, but narrow
VISION = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 2}


class ComfyUI(Host):
    name, title = "comfy", "ComfyUI"
    copies = 1
    pythons = ((3, 10), (3, 14))
    flags = ("--cpu", "--disable-auto-launch", "--disable-api-nodes", "--preview-method", "none")
    model_script = "comfy.py"
    model_parts = ("comfy_sizes.py",)
    extensions_folder = "custom_nodes"
    probe = "tests/live/probe/comfy"
    up = "To see the GUI go to"
    edits = (
        ("comfy/sd1_clip_config.json", sized({**sizes.CLIP, "num_hidden_layers": G - 1})),
        ("comfy/clip_config_bigg.json", sized(sizes.CLIP)),
        ("comfy/clip_vision_config_h.json", sized(VISION)),
        ("comfy/sdxl_clip.py", replaced((TELLS.format(30), TELLS.format(G - 1)))),
        ("comfy/sd.py", replaced(('"dim": 96,', f'"dim": {sizes.WAN_VAE["base_dim"]},'))),
    )

    def repositories(self) -> None:
        checkout(pins.COMFY, self.webui, self.mirror)
        for pin in pins.COMFY_PACKS:
            checkout(pin, self.webui / self.extensions_folder / pin.name, self.mirror)

    def files_for_the_suite(self) -> None:
        """What the lab's emoji model is here; the rest is made with the models."""
        folders = self.models / "checkpoints", "--loras", self.models / "loras"
        if not (folders[0] / "emoji-strong.safetensors").exists():
            self.make("lib_w2sd.lab.emoji", "checkpoint", *folders)

    def start(self) -> str:
        found = self.running()
        if found:
            return found["url"]
        self.link()
        return self.launch()

    def command(self) -> tuple:
        return "main.py", "--listen", "127.0.0.1"
