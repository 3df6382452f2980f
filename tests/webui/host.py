"""Opens a flavour of the stand-in with the extension's real script in it, and sends it requests."""

import importlib
import importlib.util
import queue
import sys
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace

import k_diffusion.sampling
import torch

from lib_w2sd.page.settings import SETTINGS

from ..reflected import REFLECTED

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parent.parent / "scripts"
FLAVOURS = ("a1111", "forge", "neo")
# Whose files a flavour has as well, where it has none of its own.
LIKE = {"neo": ["forge"], "neo_next": ["neo", "forge"]}
OF_A_HOST = ("modules", "modules_forge", "backend", "ldm_patched", "gguf", "lib_w2sd.hosts")


def _forget():
    """Take every module of a host, and what has imported one, out of Python's memory."""
    for name in list(sys.modules):
        if any(name == package or name.startswith(package + ".") for package in OF_A_HOST):
            del sys.modules[name]
    sys.modules["lib_w2sd"].__dict__.pop("hosts", None)
    importlib.invalidate_caches()


@contextmanager
def opened(flavour: str):
    """A host as it is after a start, with no request made yet."""
    importlib.import_module("lib_w2sd")
    path = [str(HERE / folder) for folder in (flavour, *LIKE.get(flavour, ()), "both")]
    their_torch = k_diffusion.sampling.torch
    _forget()
    sys.path[:0] = path
    try:
        yield Host(flavour)
    finally:
        for entry in path:
            sys.path.remove(entry)
        _forget()
        k_diffusion.sampling.torch = their_torch


class Host:
    """`modules`: the host's, by name. `script`: the extension's. `calls`: rows of every UNet call of a request."""

    def __init__(self, flavour):
        self.flavour, self.forge = flavour, flavour != "a1111"
        self.modules = _Modules()
        # Before the extension is loaded, as in the host.
        self.processing, self.shared, self.sd_models = (
            self.modules[name] for name in ("processing", "shared", "sd_models")
        )
        self.sd_models.load(self.sd_models.SELECTED)
        self.shared.prompt_styles = self.modules["styles"].Styles()
        self.own_scripts = self.load_own_scripts()
        self.extension = self.load()
        self.hooks = self.extension.hooks
        # Its network is the host's, not an extension's.
        self.isolation.whose.LIBRARIES.append(HERE / "network.py")
        self.script = self.extension.W2SDScript()
        self.defaults = [f.default for f in SETTINGS]
        self.others = []  # scripts of other extensions, which come before
        self.script_list = []  # the tab's list of scripts, of which a request may choose one
        self.calls = []

    @property
    def isolation(self):
        return importlib.import_module("lib_w2sd.hosts.sampling.isolation")

    @property
    def study_script(self):
        return self.load("w2sd_study.py")

    @property
    def study(self):
        return importlib.import_module("lib_w2sd.hosts.request.study")

    def sampling(self, room: str, name: str):
        """A class of the extension's own, of a sampling pass."""
        return getattr(importlib.import_module(f"lib_w2sd.hosts.sampling.{room}"), name)

    def load(self, name="w2sd.py"):
        """One of the extension's scripts, as the host loads it at its start and after "Reload UI"."""
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / name)
        script = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(script)
        return script

    def load_own_scripts(self) -> list:
        """The host's own always-on scripts."""
        comments = self.modules["processing_scripts.comments"]
        if not hasattr(comments, "Comments"):
            return []
        data = SimpleNamespace(script_class=comments.Comments, path=comments.__file__, module=comments)
        self.modules["scripts"].scripts_data.append(data)
        return [comments.Comments()]

    @property
    def errors(self):
        return self.modules["errors"].reported

    def arguments(self, w2sd):
        """A script's arguments as the API makes them: a short list is filled up with the controls' values."""
        given = [{**REFLECTED, **w2sd}] if isinstance(w2sd, dict) else list(w2sd)
        return (given + self.defaults[len(given) :])[: len(self.defaults)]

    def request(self, kind, w2sd=None, chosen=None, **fields):
        """The processing object of a request. `w2sd`: None, as if the extension were not installed; a settings object,
        beside REFLECTED; or a list of arguments. `chosen`: a script of the list."""
        scripts = [*self.own_scripts, *self.others]
        args = [self.script_list.index(chosen) + 1 if chosen else 0]
        for script in scripts:
            script.args_from = script.args_to = 1
        if w2sd is not None:
            args += self.arguments(w2sd)
            self.script.args_from, self.script.args_to = 1, len(args)
            scripts.append(self.script)
        runner = self.modules["scripts"].ScriptRunner(scripts)
        runner.selectable_scripts = list(self.script_list)
        return getattr(self.processing, f"StableDiffusionProcessing{kind}")(runner, args, **fields)

    @property
    def unet(self):
        return self.sd_models.unet_of(self.shared.sd_model)

    @property
    def metered(self):
        """The object whose apply_model the extension stands in front of during a run."""
        model = self.shared.sd_model
        return model.forge_objects.unet.model if self.forge else model

    def process(self, p):
        self.unet.calls.clear()
        chosen = p.script_args[0]
        try:
            made = p.scripts.selectable_scripts[chosen - 1].run(p) if chosen else None
            return self.processing.process_images(p) if made is None else made
        finally:
            self.calls = list(self.unet.calls)

    def sampler_function(self, name):
        """The host's own function of a k-diffusion sampler."""
        return next(func for label, func, *_ in self.modules["sd_samplers"].samplers_k_diffusion if label == name)

    def txt2img(self, w2sd=None, **fields):
        return self.process(self.request("Txt2Img", w2sd, **fields))

    def img2img(self, w2sd=None, **fields):
        return self.process(self.request("Img2Img", w2sd, **fields))

    def trace(self):
        """The passes of the last request with W2SD."""
        return self.hooks.Trace.last.as_dict()["passes"]


class Heard:
    """What a listener was told, one after the other: kept where no isolation finds it and puts it back."""

    def __init__(self):
        self.told = queue.SimpleQueue()

    def append(self, one):
        self.told.put(one)

    def taken(self) -> list:
        """All of it, and nothing is left."""
        return [self.told.get() for _ in range(self.told.qsize())]


class _Modules(dict):
    def __missing__(self, name) -> ModuleType:
        self[name] = importlib.import_module(f"modules.{name}")
        return self[name]


def signatures(flavour: str) -> dict:
    """What GET /w2sd/v1/host answers in the stand-in: {"host": ..., "relies_on": {path: signature}}."""
    with opened(flavour) as host:
        return host.hooks.describe(host.extension.HOST)


def same_pictures(one, other):
    return len(one.pictures) == len(other.pictures) and all(map(torch.equal, one.pictures, other.pictures))
