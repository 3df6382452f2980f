"""The families of ComfyUI's as the suite draws them: what differs in their workflows."""

from .comfyui import Workshop

LATENT_FRAMES = 2  # of five


class SDXL(Workshop):
    checkpoint = "small-sdxl"


class SD3(Workshop):
    checkpoint, empty = "small-sd3", "EmptySD3LatentImage"


class Flux(SD3):
    """A network alone in its file; the text is SD3's, which is as wide."""

    checkpoint = "small-flux"

    def load(self, checkpoint: str):
        return self.graph("UNETLoader", unet_name=f"{checkpoint}.safetensors", weight_dtype="default")

    def parts(self) -> tuple:
        return self.loaded, self.graph("CLIPLoader", clip_name="small-clip-l.safetensors", type="sd3"), None


class Wan(Flux):
    checkpoint, empty = "small-wan", "EmptyHunyuanLatentVideo"

    def blank(self, size: int, batch: int):
        return self.graph(self.empty, width=size, height=size, length=5, batch_size=batch)


class PixArt(Flux):
    """Alpha, whose latents are SD1.5's."""

    checkpoint, empty = "small-pixart", "EmptyLatentImage"


# name -> (its workshop, its LoRA, rows a call counts for one picture)
FAMILIES = {
    "SD1.5": (Workshop, "tiny_sd15", 1),
    "SDXL": (SDXL, "tiny_sdxl", 1),
    "SD3": (SD3, "tiny_sd3", 1),
    "Flux": (Flux, "tiny_flux", 1),
    "Wan": (Wan, "tiny_wan", LATENT_FRAMES),
}


def weak_sides(w: Workshop, lora: str) -> dict:
    """{gap: (strong guider, weak guider)}, of the gaps that every family has."""

    def at(strength: float):
        name = f"{lora}.safetensors"
        return w.guider(w.graph("LoraLoaderModelOnly", model=w.model, lora_name=name, strength_model=strength))

    return {
        "guidance": lambda: (w.guider(), w.guider(cfg=1.0)),
        "prompt": lambda: (w.guider(), w.guider(positive=w.text("a drawing"))),
        "checkpoint": lambda: (w.guider(), w.guider(w.load(f"{w.checkpoint}-weak"))),
        "LoRA": lambda: (at(0.8), at(-1.5)),
    }


GAPS = "guidance", "prompt", "checkpoint", "LoRA"
