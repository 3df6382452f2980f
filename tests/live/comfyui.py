"""ComfyUI as the suite asks it: workflows as its API takes them, and what comes back."""

import io
import time

import httpx
import numpy as np
import safetensors.torch
import torch
from PIL import Image

WAIT = 300  # seconds for one drawing
SEED, STEPS, CFG = 7, 6, 6.5


class Refused(Exception):
    """The node's type, and its words."""


def equal(one, other) -> bool:
    """To the bit."""
    return torch.equal(one, other)


def distance(one, other) -> float:
    """Relative."""
    return float((one - other).norm() / other.norm())


class Graph(dict):
    """A workflow: {id: node}. A call adds a node and gives its outputs' links by number."""

    def __call__(self, kind: str, **inputs) -> "Links":
        name = str(len(self) + 1)
        self[name] = {
            "class_type": kind,
            "inputs": {k: list(v) if isinstance(v, Link) else v for k, v in inputs.items()},
        }
        return Links(name)


class Link(tuple):
    pass


class Links(Link):
    """A node's first output, or [i]: its others."""

    def __new__(cls, name: str):
        return super().__new__(cls, (name, 0))

    def output(self, i: int) -> Link:
        return Link((self[0], i))


class ComfyUI:
    def __init__(self, url: str):
        self.client = httpx.Client(base_url=url, timeout=60)

    def queue(self, graph: dict) -> str:
        answer = self.client.post("/prompt", json={"prompt": graph})
        if answer.status_code != 200 or answer.json()["node_errors"]:  # some of its outputs may still be drawn
            raise Refused(answer.text)
        return answer.json()["prompt_id"]

    def result(self, prompt: str) -> dict:
        """What the workflow's nodes have put out: {id: {kind: [...]}}. Raises Refused."""
        begun = time.monotonic()
        while time.monotonic() - begun < WAIT:
            found = self.client.get(f"/history/{prompt}").json().get(prompt)
            if found:
                for what, about in found["status"]["messages"]:
                    if what == "execution_error":
                        raise Refused(f"{about['node_type']}: {about['exception_message']}")
                    if what == "execution_interrupted":
                        raise InterruptedError
                return found["outputs"]
            time.sleep(0.1)
        raise TimeoutError(prompt)

    def outputs(self, graph: dict) -> dict:
        return self.result(self.queue(graph))

    def interrupt(self) -> None:
        self.client.post("/interrupt").raise_for_status()

    def latents(self, graph: Graph, **sampled) -> dict:
        """The latent of each, as they were named."""
        saved = {name: graph("SaveLatent", samples=link, filename_prefix="w2sd")[0] for name, link in sampled.items()}
        outputs = self.outputs(graph)
        drawn = {}
        for name, node in saved.items():
            answer = self.client.get("/view", params=outputs[node]["latents"][0])
            answer.raise_for_status()
            drawn[name] = safetensors.torch.load(answer.content)["latent_tensor"]
        return drawn

    def pictures(self, graph: Graph, images: list) -> torch.Tensor:
        """[N, 3, H, W] from 0 to 1, as they were saved."""
        saved = [graph("SaveImage", images=link, filename_prefix="w2sd")[0] for link in images]
        outputs = self.outputs(graph)
        drawn = []
        for file in (file for node in saved for file in outputs[node]["images"]):
            answer = self.client.get("/view", params=file)
            answer.raise_for_status()
            drawn.append(np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")))
        return torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float() / 255

    def counted(self, w: "Workshop", sampled) -> "tuple[int, str]":
        """Rows that have reached the network (W2SDCountRows), and what W2SD (last run) says."""
        before = w.graph("W2SDRowsCounted", latent=w.latent)[0]
        last = w.graph("W2SDLastRun", latent=sampled)
        rows = w.graph("W2SDRowsCounted", latent=last)[0]
        outputs = self.outputs(w.graph)
        assert before in outputs
        return int(outputs[rows]["text"][0]), outputs[last[0]]["text"][0]

    def nodes(self) -> dict:
        answer = self.client.get("/object_info")
        answer.raise_for_status()
        return answer.json()


class Workshop:
    """The usual nodes of a drawing."""

    checkpoint, loader, empty = "small-sd15", "CheckpointLoaderSimple", "EmptyLatentImage"

    def __init__(self, checkpoint: str = "", size: int = 64, batch: int = 1):
        self.graph = Graph()
        self.loaded = self.load(checkpoint or self.checkpoint)
        self.model, self.clip, self.vae = self.parts()
        self.latent = self.blank(size, batch)
        self.positive, self.negative = self.text("a photo of a cat"), self.text("blurry")

    def load(self, checkpoint: str):
        return self.graph(self.loader, ckpt_name=f"{checkpoint}.safetensors")

    def parts(self) -> tuple:
        """Model, text encoder and autoencoder; a part that nobody asks for may be None."""
        return tuple(self.loaded.output(i) for i in range(3))

    def blank(self, size: int, batch: int):
        return self.graph(self.empty, width=size, height=size, batch_size=batch)

    def anew(self):
        """The blank latent of a drawing to be made again: one with the inputs of another is not made."""
        return self.graph("RepeatLatentBatch", samples=self.latent, amount=1)

    def text(self, text: str):
        return self.graph("CLIPTextEncode", clip=self.clip, text=text)

    def guider(self, model=None, positive=None, negative=None, cfg: float = CFG):
        given = {"model": model or self.model, "positive": positive or self.positive}
        return self.graph("CFGGuider", **given, negative=negative or self.negative, cfg=cfg)

    def sampler(self, name: str = "euler"):
        return self.graph("KSamplerSelect", sampler_name=name)

    def w2sd(self, weak_guider, sampler=None, **settings):
        settings = {**SETTINGS, **settings}
        return self.graph("W2SDSampler", sampler=sampler or self.sampler(), weak_guider=weak_guider, **settings)

    def w2sd_model(self, model=None, **settings):
        settings = {**SETTINGS, "preset": "none", "weak_cfg": 0.0, "strong_cfg": "", **settings}
        return self.graph("W2SDModel", model=model or self.model, **settings)

    def advanced(self, sampler, guider=None, steps: int = STEPS, scheduler: str = "normal", latent=None):
        """SamplerCustomAdvanced."""
        sigmas = self.graph("BasicScheduler", model=self.model, scheduler=scheduler, steps=steps, denoise=1.0)
        noise = self.graph("RandomNoise", noise_seed=SEED)
        given = {"noise": noise, "guider": guider or self.guider(), "sampler": sampler, "sigmas": sigmas}
        return self.graph("SamplerCustomAdvanced", **given, latent_image=latent or self.latent)

    def ksampler(self, model=None, sampler: str = "euler", steps: int = STEPS, cfg: float = CFG, latent=None, **given):
        given = {"positive": self.positive, "negative": self.negative, **given, "cfg": cfg, "seed": SEED}
        how = {"sampler_name": sampler, "scheduler": given.pop("scheduler", "normal"), "steps": steps, "denoise": 1.0}
        return self.graph("KSampler", model=model or self.model, latent_image=latent or self.latent, **how, **given)


SETTINGS = {
    "lambda_steps": 3,
    "strength": 0.5,
    "inversion": "matched",
    "rounds": 1,
    "first_step": 1,
    "every": 1,
    "weak_alone": False,
    "measure": False,
}
