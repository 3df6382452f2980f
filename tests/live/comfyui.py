"""ComfyUI as the suite asks it: workflows as its API takes them, and what comes back."""

import time

import httpx
import safetensors.torch

WAIT = 300  # seconds for one drawing
SEED, STEPS, CFG = 7, 6, 6.5


class Refused(Exception):
    """The node's type, and its words."""


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
        if answer.status_code != 200:
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

    def nodes(self) -> dict:
        answer = self.client.get("/object_info")
        answer.raise_for_status()
        return answer.json()


class Workshop:
    """The usual nodes of a drawing."""

    def __init__(self, checkpoint: str = "small-sd15", size: int = 64, batch: int = 1):
        self.graph = g = Graph()
        self.loaded = self.load(checkpoint)
        self.model, self.clip, self.vae = (self.loaded.output(i) for i in range(3))
        self.latent = g("EmptyLatentImage", width=size, height=size, batch_size=batch)
        self.positive, self.negative = self.text("a photo of a cat"), self.text("blurry")

    def load(self, checkpoint: str):
        return self.graph("CheckpointLoaderSimple", ckpt_name=f"{checkpoint}.safetensors")

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
        how = {"sampler_name": sampler, "scheduler": "normal", "steps": steps, "denoise": 1.0}
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
