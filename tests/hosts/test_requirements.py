"""WebUIs that lack something: each name that W2SD relies on is taken away, one after the other."""

import ast
import importlib
import inspect
import sys
from contextlib import contextmanager
from pathlib import Path

import gradio as gr
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib_w2sd.hosts.compatibility import requirements
from lib_w2sd.page.settings import SETTINGS

from .. import webui

HOSTS = Path(requirements.__file__).parents[1]
KINDS = sorted(requirements.BY_KIND)


@contextmanager
def taken_away(entry: str, parameters_only: bool = False):
    """The WebUI without what an entry names, or with a function there that takes none of its parameters."""
    module, _, path = requirements.name_of(entry).removesuffix(".__init__").partition(":")
    if not path:
        before = sys.modules.get(module)
        sys.modules[module] = None
        try:
            yield
        finally:
            sys.modules[module] = before
            if before is None:
                del sys.modules[module]
        return
    *parents, name = path.split(".")
    owner = importlib.import_module(module)
    for parent in parents:
        owner = getattr(owner, parent)
    # An inherited name is its base's.
    owner = next((base for base in getattr(owner, "__mro__", ()) if name in vars(base)), owner)
    before = vars(owner)[name]
    if parameters_only:
        setattr(owner, name, lambda: None)
    else:
        delattr(owner, name)
    try:
        yield
    finally:
        setattr(owner, name, before)


def relied_on(host) -> list:
    return list(dict.fromkeys((*requirements.to_load(host.flavour), *requirements.demanded(host.extension.HOST))))


def refused(host, extension, settings=None):
    """What a request with the script of `extension` ends with."""
    host.script = extension.W2SDScript()
    with pytest.raises(extension.unavailable.refusal.JobRefused) as refusal:
        host.txt2img({"lambda_steps": 2} if settings is None else settings)
    return refusal.value


def test_a_whole_webui_lacks_nothing(host):
    assert host.extension.LACKS == []
    described = host.hooks.describe(host.extension.HOST)
    assert described["missing"] == [] and described["missing_for_gaps"] == {}
    assert described["host"] == requirements.kind() == host.flavour


def test_each_name_taken_away_ends_in_the_sentence(host, capsys):
    for entry in relied_on(host):
        with taken_away(entry):
            extension = host.load()
        name = requirements.name_of(entry).removesuffix(".__init__")
        assert any(lack.startswith(name) for lack in extension.LACKS), entry
        said = capsys.readouterr().out
        assert said.count("\n") == 1 and requirements.WORKS_IN in said, entry
        if name == "modules.scripts:Script":
            continue  # without which there are no scripts at all
        error = refused(host, extension)
        assert error.status_code == 422 and str(error) == said.strip(), entry
        assert name in str(error) and str(error).count(". ") == 0, entry


def test_each_parameter_taken_away_ends_in_the_sentence(host):
    with_parameters = [entry for entry in relied_on(host) if "(" in entry and ".__init__" not in entry]
    assert with_parameters
    for entry in with_parameters:
        with taken_away(entry, parameters_only=True):
            extension = host.load()
        assert extension.LACKS == [entry]
        assert refused(host, extension).status_code == 422


def test_what_the_lists_have_overlooked_is_no_traceback(host, monkeypatch):
    def broken():
        raise TypeError("something else")

    monkeypatch.setattr("lib_w2sd.hosts.current", broken)
    extension = host.load()
    assert "TypeError: something else" in str(refused(host, extension))


def test_between_a1111_and_forge_there_is_reforge(forge):
    """`modules_forge` is there, `backend` is not."""
    with taken_away("backend"):
        assert requirements.kind() == "reforge"
        parts = ("model_management:get_free_memory", "model_management:load_models_gpu", "samplers")
        assert forge.load().LACKS == [f"ldm_patched.modules.{part}" for part in parts]


@pytest.fixture
def lacking(host):
    with taken_away("modules.ui_components:InputAccordion"), taken_away("modules.images:save_image"):
        yield host.load()


def test_without_w2sd_the_picture_is_the_plain_one(host, lacking):
    plain = host.txt2img()
    host.script = lacking.W2SDScript()
    assert webui.host.same_pictures(host.txt2img({"enabled": False}), plain)
    assert webui.host.same_pictures(host.txt2img([False]), plain)


def test_positional_arguments_are_refused_too(host, lacking):
    assert "InputAccordion" in str(refused(host, lacking, [True]))
    assert "lambda_steps" in str(refused(host, lacking, {"lambda_steps": "many"}))
    host.script = lacking.W2SDScript()
    with pytest.raises(lacking.unavailable.refusal.JobRefused):
        host.img2img({})


def test_the_accordion_says_it_and_keeps_the_arguments_places(host, lacking):
    with gr.Blocks() as page:
        controls = lacking.W2SDScript().ui(False)
    assert [control.label for control in controls[: len(SETTINGS)]] == [s.label for s in SETTINGS]
    texts = [block.value for block in page.blocks.values() if isinstance(block, gr.HTML)]
    assert len(texts) == 1 and "InputAccordion" in texts[0] and "reForge" in texts[0]


def test_the_host_route_lists_it(host, lacking):
    app = FastAPI()
    host.modules["script_callbacks"].app_started_callback(None, app)
    told = TestClient(app).get("/w2sd/v1/host").json()
    # The whole extension has added its own first, in this process.
    told = next(r.endpoint() for r in reversed(app.routes) if getattr(r, "path", "") == "/w2sd/v1/host")
    assert told["host"] == host.flavour
    assert set(told["missing"]) == {"modules.images:save_image", "modules.ui_components:InputAccordion"}
    assert told["says"] == requirements.sentence(told["missing"])


def rooms(host) -> dict:
    """ability -> what its room relies on."""
    of = host.extension.HOST.ABILITIES
    return {ability: requirements.BY_ROOM.get(room.partition(":")[0], ()) for ability, room in of.items()}


def test_what_one_gap_needs_takes_only_that_gap(host):
    for entry in dict.fromkeys(entry for entries in rooms(host).values() for entry in entries):
        if entry in relied_on(host) or entry == "backend.patcher.base:ModelPatcher":
            continue
        gone = {ability for ability, entries in rooms(host).items() if entry in entries}
        with taken_away(entry):
            extension = host.load()
            assert extension.LACKS == [], entry
            shown = {gap.ability for gap in extension.PAGE.facts.gaps}
            assert shown == ({"", *rooms(host)} - gone), entry
            for ability in gone:
                with pytest.raises(extension.hooks.LacksError, match="cannot make") as refusal:
                    extension.HOST.able(ability)
                assert requirements.name_of(entry) in str(refusal.value)
        described = extension.hooks.describe(extension.HOST)
        assert described["missing_for_gaps"] == {}


def test_a_gap_that_is_lacking_is_refused_and_the_others_work(a1111):
    with taken_away("modules.lowvram:is_enabled"):
        error = None
        try:
            a1111.txt2img({"weak_checkpoint": "another"})
        except a1111.hooks.refusal.JobRefused as refusal:
            error = refusal
        assert error.status_code == 422 and "modules.lowvram:is_enabled" in str(error)
        assert a1111.txt2img({"lambda_steps": 2}).pictures


def test_an_attribute_that_is_not_there_is_told_in_words(host, monkeypatch):
    """Of an object that only a request has."""

    def looks(self):
        raise AttributeError("'Model' object has no attribute 'predictor'")

    monkeypatch.setattr(host.hooks.SamplingPass, "build_sides", looks)
    with pytest.raises(host.hooks.refusal.JobRefused, match="predictor.*it works in") as refusal:
        host.txt2img({"lambda_steps": 2})
    assert refusal.value.status_code == 422


def imports(file: Path) -> list:
    """[(module, name)] of what a file imports of a WebUI, at its load and later."""
    found = []
    for node in ast.walk(ast.parse(file.read_text(encoding="utf8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [(node.module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
    of_a_webui = ("modules", "modules_forge", "backend", "ldm_patched", "gguf")
    return [(module, name) for module, name in found if module.split(".")[0] in of_a_webui]


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_imported_that_no_list_names(kind):
    common = [*(HOSTS / room for room in ("request", "sampling", "models", "compatibility"))]
    files = {
        *(file for room in (*common, HOSTS / kind) for file in room.rglob("*.py")),
        HOSTS.parent.parent / "scripts" / "w2sd.py",
    }
    seen = 0
    for file in files:
        room = requirements.BY_ROOM.get(f"{kind}.{file.stem}", ())
        names = [requirements.name_of(entry) for entry in (*requirements.to_load(kind), *room)]
        modules = {name.partition(":")[0] for name in names}
        for module, name in imports(file):
            seen += 1
            there = f"{module}.{name}" in modules or f"{module}:{name}" in names or (not name and module in modules)
            assert there, (file.name, module, name)
    assert seen > 20


def overridden(cls, base):
    """(class, name) of what a class, and those between it and `base`, make another way."""
    for one in cls.__mro__[: cls.__mro__.index(base)]:
        for name, made in vars(one).items():
            if inspect.isfunction(made) and inspect.isfunction(getattr(base, name, None)):
                yield one, name


def test_a_hosts_own_part_is_called_as_the_common_one_is(host):
    """What a host's class overrides takes what is given to what the hosts have in common."""
    webui = importlib.import_module("lib_w2sd.hosts.sampling.webui").WebUI
    weak = importlib.import_module("lib_w2sd.hosts.models.checkpoints").WeakCheckpoint
    checked = 0
    for cls, base in ((host.extension.HOST, webui), (host.extension.HOST.able("checkpoint"), weak)):
        for one, name in overridden(cls, base):
            taken = [len(inspect.signature(vars(c)[name]).parameters) for c in (one, base)]
            assert taken[0] == taken[1], f"{one.__module__}.{one.__name__}.{name}"
            checked += 1
    assert checked > 15


def asked_of(name: str, module: Path) -> set:
    """The attributes that a module asks of what it calls `name`."""
    nodes = ast.walk(ast.parse(module.read_text(encoding="utf8")))
    return {n.attr for n in nodes if isinstance(n, ast.Attribute) and getattr(n.value, "id", "") == name}


def test_every_host_does_all_that_the_lora_gap_asks(host):
    asked = asked_of("loras", HOSTS.parent / "gaps" / "lora.py")
    assert {"used", "summed", "opened", "understood", "overlay", "unreadable"} <= asked
    has = host.extension.HOST.able("lora")
    assert not {name for name in asked if not callable(getattr(has, name, None))}
