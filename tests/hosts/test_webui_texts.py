"""Texts of the weak side are read as the host reads a picture's own, with the same extensions on.

The measure is the weak side drawing alone: it has to make the host's own picture of the text.
"""

import importlib
import random
import re
import sys
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from ..webui.host import same_pictures

ALONE = {"weak_alone": True, "weak_cfg": 6.0, "lambda_steps": 2, "inversion": "matched"}
TWO_BATCHES = {"batch_size": 2, "n_iter": 2}


def alone(host, prompt=None, negative=None, own=("a cat", "blurry"), **fields):
    """The weak side alone with these texts of its own, and the host's own picture of them."""
    texts = {"weak_prompt": prompt, "weak_negative_prompt": negative}
    given = {name: text for name, text in texts.items() if text is not None}
    ours = host.txt2img({**ALONE, **given}, prompt=own[0], negative_prompt=own[1], **fields)
    prompt, negative = own[0] if prompt is None else prompt, own[1] if negative is None else negative
    return ours, host.txt2img(None, prompt=prompt, negative_prompt=negative, **fields)


@pytest.fixture
def other(host):
    """other(Script, file): another extension's always-on script, loaded from a file of that name."""

    def loaded(script, file):
        script.filename = f"/extensions/another/scripts/{file}"
        host.others.append(script)
        return script

    return loaded


# ---------------------------------------------------------------- comments

COMMENTED = ["a dog # red", "# red\na dog", "a dog /* red */ barks // at night", "a dog # :(", "a dog # <lora:none:-2>"]


@pytest.mark.parametrize("text", COMMENTED)
def test_a_comment_is_read_as_the_host_reads_it(host, text):
    ours, hosts = alone(host, text)
    assert same_pictures(ours, hosts)
    ours, hosts = alone(host, None, text)
    assert same_pictures(ours, hosts)


def test_no_comment_where_the_host_reads_none(host):
    host.shared.opts.enable_prompt_comments = False
    ours, hosts = alone(host, "a dog # red")
    assert same_pictures(ours, hosts)
    assert not same_pictures(ours, host.txt2img(None, prompt="a dog"))


# ---------------------------------------------------------------- extra networks in a negative prompt


@pytest.mark.parametrize("text", ["fog <lora:none:1>", "<hypernet:none:1>"])
def test_an_extra_network_in_a_negative_prompt_is_words(host, text):
    ours, hosts = alone(host, None, text)
    assert same_pictures(ours, hosts)
    assert not same_pictures(hosts, host.txt2img(None, negative_prompt=re.sub("<.*>", "", text)))


def test_so_it_is_in_the_pictures_own(host):
    own = ("a cat", "blurry <lora:none:1>")
    ours, _ = alone(host, None, "{negative_prompt}, fog", own=own)
    assert same_pictures(ours, host.txt2img(None, negative_prompt=own[1] + ", fog"))


# ---------------------------------------------------------------- wildcards


def wildcards(host):
    class Wildcards(host.modules["scripts"].Script):
        """Simple wildcards' way: a word by the picture's seed."""

        asked = 0

        def title(self):
            return "Simple wildcards"

        def process(self, p, *args):
            self.asked += 1
            for name in ("all_prompts", "all_negative_prompts"):
                texts = zip(getattr(p, name), p.all_seeds)
                setattr(p, name, [self.chosen(text, random.Random(seed)) for text, seed in texts])
            p.extra_generation_params["Wildcard"] = p.all_prompts[0]

        def chosen(self, text, generator):
            return re.sub("__colour__", lambda _: generator.choice(["red", "green", "blue", "grey"]), text)

    return Wildcards()


def test_a_wildcard_is_that_of_the_pictures_seed(host, other):
    script = other(wildcards(host), "wildcards.py")
    for texts in (("a __colour__ dog", None), (None, "__colour__ fog")):
        ours, hosts = alone(host, *texts, **TWO_BATCHES)
        assert same_pictures(ours, hosts)
    assert script.asked == 4  # what it keeps is what the pictures' own have made of it
    assert ours.params["Wildcard"] == "a cat"


def test_placeholders_are_filled_in_behind_it(host, other):
    other(wildcards(host), "wildcards.py")
    own = ("a __colour__ cat", "blurry")
    ours, _ = alone(host, "{prompt} and a dog", own=own, **TWO_BATCHES)
    assert same_pictures(ours, host.txt2img(None, prompt="a __colour__ cat and a dog", **TWO_BATCHES))


def test_a_reader_that_nobody_knows_is_told_of(host, other):
    other(wildcards(host), "wildcards.py")
    weak = {"weak_prompt": "a __colour__ dog", "weak_cfg": 2}
    own = "a __colour__ cat # comment"
    assert not [text for text in host.txt2img(weak, prompt=own, **TWO_BATCHES).comments if "another extension" in text]
    host.others[-1].filename = "/extensions/another/scripts/nobody_knows.py"
    (said,) = [text for text in host.txt2img(weak, prompt=own).comments if "another extension" in text]
    assert "as it stands" in said
    assert not host.txt2img({"weak_cfg": 2}, prompt=own).comments


# ---------------------------------------------------------------- before the click


def test_the_page_reads_comments_as_the_host_does(host):
    facts = host.extension.PAGE.facts
    commented = {"weak_prompt": "{prompt} # <lora:x:-2>", "weak_cfg": 1, "lambda_steps": 5}

    def said(settings, prompt="a cat"):
        request = {"settings": settings, "page": {"cfg": 6, "prompt": prompt}}
        return " ".join(importlib.import_module("lib_w2sd.page.forecast").forecast(facts, request)["warnings"])

    offset = {"weak_lora_offset": -1.0}
    assert "the prompt has no LoRA" in said(offset, "a cat # <lora:x:1>")
    assert "the prompt has no LoRA" not in said(offset, "a cat <lora:x:1>")
    told = importlib.import_module("lib_w2sd.page.forecast").read(commented, facts.uncommented)[0]
    assert told.weak_prompt.strip() == "{prompt}"


def test_the_page_says_what_another_text_is_refused_beside(host):
    scripts = host.modules["scripts"]
    scripts.scripts_data.append(SimpleNamespace(script_class=object, path="/x/forge_couple.py", module=None))
    try:
        facts = host.extension.PAGE.facts
        settings = importlib.import_module("lib_w2sd.page.settings").Settings
        (said,) = facts.company(settings(weak_prompt="a dog"))
        assert "Forge Couple" in said and "weak prompt" in said
        assert not facts.company(settings()) and not facts.company(settings(weak_negative_prompt="fog"))
    finally:
        scripts.scripts_data.pop()


# ---------------------------------------------------------------- what reads prompts for itself


def negpip(host):
    class NegPiP(host.modules["scripts"].Script):
        """Its way: what has a negative weight is taken out of the batch's prompts, kept, and put in by a hook."""

        PART = re.compile(r"\((\w+):-[\d.]+\)")

        def __init__(self):
            self.active, self.kept = False, []

        def title(self):
            return "NegPiP"

        def process_batch(self, p, active, **kwargs):
            self.__init__()
            for texts in (p.prompts, p.negative_prompts):
                for i, text in enumerate(texts):
                    self.kept += self.PART.findall(text)
                    texts[i] = self.PART.sub("", text)
            self.active = bool(self.kept)
            if self.active:
                self.hook(host.unet)
            else:
                vars(host.unet).pop("forward", None)

        def hook(self, unet):
            def forward(*args):
                return type(unet).forward(unet, *args) * (1 + 0.01 * len("".join(self.kept)))

            unet.forward = forward

        def postprocess(self, p, processed, *args):
            vars(host.unet).pop("forward", None)

    return NegPiP()


@pytest.mark.parametrize("own", ["a cat", "a cat (bird:-1.2)"])
@pytest.mark.parametrize("text", ["a dog", "a dog (tree:-1.5)", "{prompt}, (tree:-1.5)"])
def test_negpip_reads_a_weak_prompt_too(host, other, own, text):
    script = other(negpip(host), "negpip.py")
    with always_on(host, script):
        plain = host.txt2img(None, prompt=own)
        ours, _ = alone(host, text, own=(own, "blurry"))
        hosts = host.txt2img(None, prompt=text.replace("{prompt}", own))
        assert same_pictures(ours, hosts)
        assert same_pictures(plain, host.txt2img(None, prompt=own))
        host.txt2img({"weak_prompt": text, "weak_cfg": 2}, prompt=own)
        assert "forward" not in vars(host.unet)


@contextmanager
def always_on(host, script):
    """Its box is ticked."""
    request = host.request

    def ticked(*args, **fields):
        p = request(*args, **fields)
        p.script_args.append(True)
        script.args_from, script.args_to = len(p.script_args) - 1, len(p.script_args)
        return p

    host.request = ticked
    yield
    del host.request


def region(host, **state):
    class Regional(host.modules["scripts"].Script):
        def title(self):
            return "regions"

    script = Regional()
    vars(script).update(state)
    return script


@pytest.mark.parametrize(
    ("file", "on", "off", "name"),
    [
        ("forge_couple.py", {"couples": ["a", "b"]}, {"couples": None}, "Forge Couple"),
        ("rp.py", {"active": True}, {"active": False}, "Regional Prompter"),
    ],
)
def test_what_draws_regions_refuses_another_text(host, other, file, on, off, name):
    script = other(region(host, **on), file)
    with pytest.raises(host.hooks.refusal.JobRefused, match=f"weak_prompt.*{name}.*allowed"):
        host.txt2img({"weak_prompt": "a dog", "weak_cfg": 2})
    host.txt2img({"weak_cfg": 2})
    vars(script).update(off)
    host.txt2img({"weak_prompt": "a dog", "weak_cfg": 2})


def test_forge_couple_has_the_negative_prompt_of_each_side(host, other):
    other(region(host, couples=["a", "b"]), "forge_couple.py")
    ours, hosts = alone(host, None, "fog")
    assert same_pictures(ours, hosts)


# ---------------------------------------------------------------- what encoding notes


def test_what_only_the_weak_prompt_names_is_not_noted(host, monkeypatch):
    """The host notes embeddings where it encodes, and hands on to the next batch what is noted since the last."""
    noted = host.shared.sd_model.extra_generation_params = {}
    host.shared.sd_model.comments = said = []
    encode = type(host.shared.sd_model).get_learned_conditioning

    def noting(self, texts):
        for text in texts:
            noted["TI"] = " ".join([*noted.get("TI", "").split(), *re.findall("emb-\\w+", text)])
            said.extend(re.findall("emb-\\w+", text))
        return encode(self, texts)

    monkeypatch.setattr(type(host.shared.sd_model), "get_learned_conditioning", noting)
    host.txt2img({"weak_prompt": "a dog emb-weak", "weak_cfg": 2}, prompt="a cat emb-own", **TWO_BATCHES)
    assert set(noted["TI"].split()) == set(said) == {"emb-own"}


@pytest.mark.parametrize(
    ("module", "holder", "name"),
    [
        ("modules.sd_hijack", "model_hijack", "extra_generation_params"),
        ("modules.sd_hijack", "model_hijack", "comments"),
        ("backend.text_processing.classic_engine", "", "last_extra_generation_params"),
        ("backend.args", "dynamic_args", "last_extra_generation_params"),
    ],
)
@pytest.mark.parametrize("anew", [False, True])
def test_wherever_a_host_notes_it(a1111, monkeypatch, module, holder, name, anew):
    before = [] if name == "comments" else {"TI": "own"}
    noting = SimpleNamespace(**{name: before})
    monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{holder: noting}) if holder else noting)
    content = before.copy()
    p = SimpleNamespace(extra_generation_params={}, comments={})
    with a1111.sampling("isolation", "unnoted")(p):
        if anew:
            setattr(noting, name, type(before)())
        else:
            before.append("weak") if name == "comments" else before.update(TI="own, weak")
        p.comments["weak"] = 1
    assert getattr(noting, name) is before and before == content and not p.comments
