"""Writes docs/comfy: one workflow a gap, as JSON and as a picture of it that carries it.

    python -m tests.live.comfy_examples --comfy http://127.0.0.1:8188 [NAME ...]

Drag either onto ComfyUI's page. The workflows are laid out by that page, in Chromium; nothing is drawn.
"""

import argparse
import io
import json
from pathlib import Path

from PIL import Image, PngImagePlugin

from lib_w2sd.page.presets import BUILT_IN

from .comfyui import Graph, Workshop
from .pages import TIMEOUT, chromium

OUT = Path(__file__).parents[2] / "docs/comfy"
CHECKPOINT, WEAKER = "v1-5-pruned-emaonly-fp16", "your-weaker-checkpoint"
WAN, SMALLER_WAN = "wan2.1_t2v_14B_fp16", "wan2.1_t2v_1.3B_fp16"
LORA, CONTROLNET = "your-lora.safetensors", "control_v11p_sd15_canny_fp16.safetensors"
STEPS, CFG = 20, 7.0
# What the suite's ComfyUI has instead; an IP-Adapter's loader finds its files itself
SMALL = {
    f"{CHECKPOINT}.safetensors": "small-sd15.safetensors",
    f"{WEAKER}.safetensors": "small-sd15-weak.safetensors",
    LORA: "tiny_sd15.safetensors",
    CONTROLNET: "tiny_controlnet.safetensors",
    f"{WAN}.safetensors": "small-wan.safetensors",
    f"{SMALLER_WAN}.safetensors": "small-wan-weak.safetensors",
    "wan_2.1_vae.safetensors": "small-wan-vae.safetensors",
    # Its text is of the same width, which is all that the small one asks for.
    "umt5_xxl_fp8_e4m3fn_scaled.safetensors": "small-clip-l.safetensors",
    "wan": "sd3",
    STEPS: 6,
    512: 64,
    **dict.fromkeys((832, 480), 64),
    33: 5,
}


ALL_IN_VIEW = """async () => {
  const {command, setting} = window.app.extensionManager;
  for (const name of ["Comfy.Minimap.Visible", "Comfy.Graph.CanvasInfo", "Comfy.Graph.CanvasMenu"])
    await setting.set(name, false);
  await command.execute("Comfy.Canvas.FitView");
}"""


class Example(Workshop):
    checkpoint = CHECKPOINT

    def __init__(self):
        super().__init__(size=512)

    def node(self, preset: str, **given):
        fields = {key: value for key, value in BUILT_IN[preset].fields.items() if key in ("weak_cfg", "lambda_steps")}
        fields.update({key: BUILT_IN[preset].fields[key] for key in ("strength", "inversion")})
        strong = BUILT_IN[preset].fields["strong_cfg"]
        return self.w2sd_model(**{**fields, "strong_cfg": "" if strong is None else f"{strong:g}", **given})

    def shown(self, sampled) -> Graph:
        """With the picture, and what W2SD did."""
        last = self.graph("W2SDLastRun", latent=sampled)
        self.saved(self.graph("VAEDecode", samples=last, vae=self.vae))
        self.graph("PreviewImage", images=last.output(1))
        return self.graph

    def saved(self, pictures):
        self.graph("SaveImage", images=pictures, filename_prefix="w2sd")


class Video(Example):
    checkpoint = WAN

    def load(self, checkpoint: str):
        return self.graph("UNETLoader", unet_name=f"{checkpoint}.safetensors", weight_dtype="default")

    def parts(self) -> tuple:
        text = self.graph("CLIPLoader", clip_name="umt5_xxl_fp8_e4m3fn_scaled.safetensors", type="wan")
        return self.loaded, text, self.graph("VAELoader", vae_name="wan_2.1_vae.safetensors")

    def blank(self, size: int, batch: int):
        return self.graph("EmptyHunyuanLatentVideo", width=832, height=480, length=33, batch_size=batch)

    def saved(self, pictures):
        how = {"fps": 16.0, "lossless": False, "quality": 80, "method": "default"}
        self.graph("SaveAnimatedWEBP", images=pictures, filename_prefix="w2sd", **how)


def guidance(w: Example):
    return w.ksampler(w.node("Follow the prompt a little more"), steps=STEPS, cfg=CFG)


def prompt(w: Example):
    model = w.node("More of my prompt's detail", weak_positive=w.text("a cat"))
    return w.ksampler(model, steps=STEPS, cfg=CFG)


def lora(w: Example):
    def at(scale: float):
        return w.graph("LoraLoaderModelOnly", model=w.model, lora_name=LORA, strength_model=scale)

    return w.ksampler(w.node("More of my LoRA", model=at(0.8), weak_model=at(-1.5)), steps=STEPS, cfg=CFG)


def checkpoint(w: Example):
    return w.ksampler(w.node("More of my checkpoint", weak_model=w.load(WEAKER)), steps=STEPS, cfg=CFG)


def controlnet(w: Example):
    net = w.graph("ControlNetLoader", control_net_name=CONTROLNET)
    edges = w.graph("Canny", image=w.graph("LoadImage", image="example.png"), low_threshold=0.4, high_threshold=0.8)
    about = {"control_net": net, "image": edges, "strength": 1.0, "start_percent": 0.0, "end_percent": 1.0}
    held = w.graph("ControlNetApplyAdvanced", positive=w.positive, negative=w.negative, **about)
    model = w.node("Closer to my ControlNet", weak_positive=w.positive, weak_negative=w.negative)
    given = {"positive": held.output(0), "negative": held.output(1)}
    return w.ksampler(model, steps=STEPS, cfg=CFG, **given)


def ip_adapter(w: Example):
    """By ComfyUI_IPAdapter_plus, whose loader hands the model on as it is."""
    loaded = w.graph("IPAdapterUnifiedLoader", model=w.model, preset="STANDARD (medium strength)")
    about = {"image": w.graph("LoadImage", image="example.png"), "weight": 1.0, "weight_type": "standard"}
    about.update(start_at=0.0, end_at=1.0)
    seeing = w.graph("IPAdapter", model=loaded, ipadapter=loaded.output(1), **about)
    return w.ksampler(w.node("Closer to my IP-Adapter", model=seeing, weak_model=w.model), steps=STEPS, cfg=CFG)


def guiders(w: Example):
    """Any two: for SamplerCustomAdvanced."""
    return w.advanced(w.w2sd(w.guider(w.load(WEAKER), cfg=CFG), lambda_steps=10), w.guider(cfg=CFG), steps=STEPS)


def wan(w: Video):
    """The large Wan against the small one."""
    model = w.node("More of my checkpoint", model=shifted(w, w.model), weak_model=shifted(w, w.load(SMALLER_WAN)))
    return w.ksampler(model, steps=STEPS, cfg=6.0, sampler="uni_pc", scheduler="simple")


def shifted(w: Video, model):
    return w.graph("ModelSamplingSD3", model=model, shift=8.0)


EXAMPLES = (guidance, prompt, lora, checkpoint, controlnet, ip_adapter, guiders, wan)
WORKSHOPS = {wan: Video}


def name_of(example) -> str:
    """Its files'."""
    return example.__name__.replace("_", "-")


def made(example) -> Graph:
    w = WORKSHOPS.get(example, Example)()
    return w.shown(example(w))


def smaller(graph: dict) -> dict:
    """The same for the suite's ComfyUI."""

    def value(given):
        return SMALL.get(given, given) if isinstance(given, (str, int)) and not isinstance(given, bool) else given

    return {k: {**node, "inputs": {key: value(v) for key, v in node["inputs"].items()}} for k, node in graph.items()}


def opened(browser, url: str):
    page = browser.new_page(viewport={"width": 2300, "height": 1000})
    page.set_default_timeout(TIMEOUT)
    page.goto(url)
    page.wait_for_function("() => !!(window.app?.graph && window.LiteGraph?.registered_node_types?.W2SDModel)")
    return page


def laid_out(page, graph: dict, name: str) -> "tuple[dict, bytes]":
    """The workflow as the page keeps it, and a picture of it."""
    page.evaluate("([graph, name]) => window.app.loadApiJson(graph, name)", [graph, name])
    page.wait_for_function("wanted => window.app.graph._nodes.length === wanted", arg=len(graph))
    page.evaluate(ALL_IN_VIEW)
    page.wait_for_timeout(1500)
    return page.evaluate("() => window.app.graph.serialize()"), page.locator("#graph-canvas").screenshot()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--comfy", required=True)
    parser.add_argument("names", nargs="*", help="default: all")
    given = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    with chromium() as browser:
        for example in EXAMPLES:
            name, graph = name_of(example), made(example)
            if given.names and name not in given.names:
                continue
            page = opened(browser, given.comfy)  # a new one: it keeps what nodes of these numbers have shown
            workflow, picture = laid_out(page, graph, name)
            (OUT / f"{name}.json").write_text(json.dumps(workflow) + "\n", encoding="utf-8")
            carried = PngImagePlugin.PngInfo()
            carried.add_text("workflow", json.dumps(workflow))
            carried.add_text("prompt", json.dumps(graph))
            shown = Image.open(io.BytesIO(picture)).convert("RGB").quantize(64)
            shown.save(OUT / f"{name}.png", pnginfo=carried, optimize=True)
            print(name, (OUT / f"{name}.png").stat().st_size)


if __name__ == "__main__":
    main()
