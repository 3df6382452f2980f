"""Everything that a WebUI has at hand, with W2SD beside it: extensions, scripts, options.

What shows a fault of isolation, whoever is beside:

- strength 1e-9, by every gap and every way: the plain picture, to 1e-4 of a latent (strength 0 evaluates nothing);
- equal sides: plain to the bit, and no gap at any step;
- the weak side alone: the host's own picture under that setting;
- weak CFG 0 and 1e-6 (strong CFG 1 and 1 + 1e-6): the same gap to 1e-3;
- the sampler's own calls are those of the plain run.

What W2SD refuses beside something it refuses by name (422), before anything is sampled.

With the folder tests/live/probe linked into the WebUI's extensions latents are compared, and the probe itself is
company that changes what it is handed in place, draws from generators of every kind and counts in every way that there
is; without it, pictures are. --all-combinations: every gap by every way. SWEEP=REGEX: only what is named so.
The table at the end says "n.a." of what the WebUI cannot draw without W2SD either.
"""

import os
import re
from itertools import product

import numpy as np
import pytest

from lib_w2sd.method import ways

from .conftest import PLAIN, Picture, png
from .layouts import asking
from .sweep_asked import ASKED, ASKED_ON, LISTED, NEEDED, OF_LISTED, ON, OPTIONS, PROBED, REQUESTS
from .test_company import again, on_a1111, on_forge
from .test_company import scripts as scripts  # a fixture

ITSELF = ("override_settings", "script_name", "script_args")
PARTS = 16  # shared out between two servers
LEAVES, SAME_GAP = 1e-4, 1e-3
EQUAL = ("matched", *ways.ALONG)
# Gaps and ways that are looked at beside everything; a third of them beside what is the host's own.
QUICK = [("prompt", "paper"), ("prompt", "previous-gap"), ("guidance", "previous-gap"), ("checkpoint", "matched")]
QUICK += [("prompt", "re-sampling"), ("pipeline", "previous-gap"), ("negative prompt", "auto-guidance")]


def of(asked, third: "int | None") -> list:
    return list(asked) if third is None else list(asked)[third::3]


class Sweep:
    """One thing beside W2SD: `ask`, a request with it."""

    def __init__(self, webui, name: str, ask: dict, alwayson: "dict | None" = None, has_probe: bool = False):
        self.webui, self.name, self.ask, self.alwayson = webui, name, ask, alwayson or {}
        self.has_probe, self.seen, self.refused = has_probe, {}, ""
        # A script that draws on goes by pictures of 8 bits, where the least difference is one of 255, and so does hires
        # on Neo, which scales no latents.
        in_bits = ask.get("script_name") and "init_images" in ask or ask.get("enable_hr") and webui.name == "neo"
        self.least = 1 / 255 if in_bits else LEAVES
        # Whether the picture's CFG scale is one number throughout.
        self.one_scale = not name.startswith(("probe: scale", "script cfg scheduling", "script cfg auto"))
        # Who goes by the request's CFG scale and not by the call's, so that another scale's picture is another: Detail
        # Daemon, for its own strength; Incantations' schedule, whose scale begins at the request's (pag.py, line 266)
        # and stands in the call's place (cfg_combiner.py, line 178).
        daemons = "detail daemon", "anima detail daemon"
        self.goes_with_scale = name.startswith((*daemons, "incantations, PAG, CFG schedule"))
        # Who divides by the call's scale, but for 0 (anima_skimmed_cfg.py, line 104): 1e-6 is no neighbour of it.
        self.has_neighbours = not name.startswith("anima skimmed cfg")
        # Its first latent is thousands times the last, and the gaps after it are as large as its rounding.
        self.begins_far = "Zero Terminal SNR" in name
        # Who goes by the request's prompt: T2I-Zero counts its words (t2i_zero.py, line 232), ADetailer draws its own
        # pass from it, whose calls are those that the probe has heard last.
        self.goes_with_prompt = name.startswith(("incantations, T2I-Zero", "adetailer", "ADetailer"))
        self.has_passes = name.lower().startswith("adetailer")
        self.improved = True
        hears = has_probe and self.one_scale and not self.has_passes and "W2SD probe" not in self.alwayson
        self.listening = {"W2SD probe": {"args": ["listen"]}} if hears else {}
        self.own_cfg = ask.get("cfg_scale", PLAIN["cfg_scale"])

    def made(self, w2sd=None, **more):
        """(the answer's pictures, what the probe has), None where it is refused. `more`: of the request."""
        alwayson = {**self.alwayson, **more.pop("alwayson_scripts", {})}
        answer = self.webui.request(w2sd, **{**self.ask, **more, "alwayson_scripts": alwayson})
        if 400 <= answer.status_code < 500 and w2sd is not None:
            self.refused = str(answer.json().get("detail", ""))
            return None
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text[:200]}"
        probed = self.webui.get("/w2sd-probe") if self.has_probe else {"latents": [], "calls": []}
        return Picture(answer.json()), probed

    def apart(self, one, other) -> float:
        """How far two of them are: the largest difference of their latents, as a share of the largest number in them;
        without the probe, of their pixels."""
        (a, latent), (b, other_latent) = one, other
        if latent["latents"] and len(latent["latents"]) == len(other_latent["latents"]):
            numbers = np.array(latent["latents"])
            return float(np.abs(numbers - other_latent["latents"]).max() / max(1.0, np.abs(numbers).max()))
        if len(a.images) != len(b.images) or any(x.shape != y.shape for x, y in zip(a.images, b.images)):
            return float("inf")
        return max(float(np.abs(x.astype(int) - y).max()) / 255 for x, y in zip(a.images, b.images))

    def note(self, column: str, found):
        self.seen.setdefault(column, []).append(found)

    def look(self, gaps: dict, without, third: "int | None" = None, every: bool = False):
        """
        without  a picture without it
        third    of the three thirds of what is asked otherwise, the one that is asked
        every    by every gap and every way
        """
        pairs = product(gaps, ways.WAYS) if every else QUICK
        plain, listened = self.made(), self.made(alwayson_scripts=self.listening)
        if not plain[1]["latents"]:
            self.least = 1 / 255
        self.seen["acts"] = "yes" if self.apart(plain, without) > 0 else "same picture"
        self.noise = self.apart(plain, listened)  # what has no seed
        self.improved = self.is_improved()
        for way in of(EQUAL, third) if self.one_scale else ():
            self.equal(plain, way, listened[1]["calls"])
        for name, way in of(pairs, third):
            if name in gaps:
                self.leaves(plain, name, way, gaps[name])
        for name, settings, more in of(self.alone(), third) if self.one_scale and self.improved else ():
            weak, host = self.made({"weak_alone": True, **settings}), self.made(**more)
            self.note("weak alone", weak and (self.apart(weak, host) <= self.least + 2 * self.noise or name))
        if self.has_neighbours:
            self.same_gap({"weak_cfg": 0.0}, {"weak_cfg": 1e-6})
        if every and self.has_neighbours:
            self.same_gap({"strong_cfg": 1.0}, {"strong_cfg": 1 + 1e-6})

    def is_improved(self) -> bool:
        """Not what has a sampling of its own (DemoFusion, img2img alternative test), which is then said: nothing of
        W2SD stands in the infotext."""
        made = self.made({"weak_cfg": 0.0})
        if made is None or self.webui.trace():
            return True
        assert "W2SD" not in made[0].infotext, "not improved, and sold as W2SD's"
        self.seen["improved"] = "no"
        return False

    def equal(self, plain, way: str, calls: list):
        """calls  of the denoiser, in the plain run"""
        settings = {"lambda_steps": -1, "inversion": way, "weak_cfg": self.own_cfg}
        made = self.made(settings, alwayson_scripts=self.listening)
        if made is None:
            return self.note("equal sides", None)
        trace = self.webui.trace()
        apart, gaps = self.apart(plain, made), [r["gap_norm"] for run in trace for r in run["reflections"]]
        fine = apart <= 2 * self.noise and (self.noise or not any(gaps))
        self.note("equal sides", True if fine else f"{way} {apart:.1g}, gap {max(gaps, default=0):.1g}")
        if self.listening and self.improved and not self.noise:
            kinds = [e["kind"] for run in trace for e in run["evaluations"]]
            self.own_calls(way, kinds, made[1]["calls"], calls)

    def own_calls(self, way: str, kinds: list, made: list, plain: list):
        if len(kinds) != len(made):
            return self.note("own calls", f"{way}: {len(made)} calls heard, {len(kinds)} told of")
        own = [call for kind, call in zip(kinds, made) if kind == "step"]
        self.note("own calls", own == plain or f"{way}: others")

    def leaves(self, plain, gap: str, way: str, settings: dict):
        made = self.made({"lambda_steps": -1, "strength": 1e-9, "inversion": way, **settings})
        apart = made and self.apart(plain, made)
        fine = made and (apart <= self.least + 2 * self.noise or f"{gap} by {way} {apart:.1g}")
        self.note("strength 1e-9", fine)

    def alone(self):
        own = {"weak_cfg": self.own_cfg}
        if not self.goes_with_scale:
            yield (
                "CFG 3",
                {"weak_cfg": 3.0},
                {"cfg_scale": 3.0, **({"hr_cfg": 3.0} if self.ask.get("enable_hr") else {})},
            )
        if not self.goes_with_prompt and not set(self.ask) & {"prompt", "script_name"}:
            yield "prompt", {**own, "weak_prompt": "a dog"}, {"prompt": "a dog"}
            yield "negative", {**own, "weak_negative_prompt": "red"}, {"negative_prompt": "red"}

    def same_gap(self, one: dict, other: dict):
        found = []
        for settings in (one, other):
            made = self.made({"lambda_steps": 2, "inversion": "paper", **settings})
            if made is None:
                return self.note("0 and 1e-6", None)
            found.append([r["gap_norm"] for run in self.webui.trace() for r in run["reflections"]])
        rounding = 1e-4 * max(found[0], default=0) if self.begins_far else 1e-5
        fine = len(found[0]) == len(found[1]) and np.allclose(*found, rtol=SAME_GAP, atol=rounding)
        self.note("0 and 1e-6", True if fine or self.noise else f"{found[0][:2]} and {found[1][:2]}")

    def told(self) -> dict:
        """column -> word."""
        words = {}
        for column, found in self.seen.items():
            if isinstance(found, str):
                words[column] = found
                continue
            wrong = [one for one in found if isinstance(one, str) or one is False]
            refused = [one for one in found if one is None]
            words[column] = "; ".join(map(str, wrong)) or ("refused" if len(refused) == len(found) else "yes")
        return words


def beside(webui, scripts: dict, init_image, loaded: str):
    """(name, more of the request, always-on scripts), one after the other."""
    yield "nothing", {}, {}
    have = webui.get("/sdapi/v1/options")
    for options in OPTIONS:
        if set(options) <= set(have):
            needed = NEEDED.get(next(iter(options)), {})
            yield ", ".join(f"{k}={v}" for k, v in options.items()), {**needed, "override_settings": options}, {}
    for name, more in REQUESTS.items():
        if set(more.get("override_settings", {})) <= set(have):
            yield name, {key: f"{loaded}-weak" if value == "{weak}" else value for key, value in more.items()}, {}
    yield "img2img", again(init_image), {}
    mask = np.zeros_like(init_image)
    mask[16:48, 16:48] = 255
    yield "inpainting", {**again(init_image), "mask": png(mask), "inpainting_fill": 1}, {}
    explicit = (on_forge if webui.forge else on_a1111)(webui, png(init_image))
    for name, (alwayson, more) in explicit.items():
        if all(script.lower() in scripts for script in alwayson):
            image = again(init_image) if any(scripts[script.lower()] for script in alwayson) else {}
            yield name, {**image, **more}, alwayson
    dealt_with = {script.lower() for alwayson, _ in explicit.values() for script in alwayson}
    dealt_with |= {"w2sd probe", "w2sd", "refiner"}
    for info in webui.get("/sdapi/v1/script-info"):
        image = again(init_image) if info["is_img2img"] else {}
        args = [arg["value"] for arg in info["args"]]
        asked_here = {**ASKED, **ASKED_ON.get(webui.name, {})}
        known = [
            kinds for name, kinds in asked_here.items() if info["name"].startswith(name) and not info["is_img2img"]
        ]
        for what, (own, more) in known[0].items() if known else ():
            dealt_with.add(info["name"])
            asked = [own.get(i, value) for i, value in enumerate(args)]
            yield ", ".join(filter(None, (info["name"], what))), more, {info["name"]: {"args": asked}}
        if info["is_alwayson"] and info["name"] not in dealt_with:
            labels = [str(arg["label"]).strip().lower() for arg in info["args"]]
            own = [i for i, label in enumerate(labels) if label == info["name"] and isinstance(args[i], bool)]
            switches = [i for i, label in enumerate(labels) if label.startswith(ON) and isinstance(args[i], bool)]
            if own or switches:
                dealt_with.add(info["name"])
                for i in own[:1] + switches[:1]:
                    args[i] = True
                if "inpainting" in info["name"]:
                    image["mask"] = png(mask)
                yield f"{info['name']}, switched on", image, {info["name"]: {"args": args}}
        elif not info["is_alwayson"] and info["name"] in LISTED:
            for place, value in LISTED[info["name"]].items():
                args[place] = value
            where = " in img2img" if image else ""
            more = {**image, **OF_LISTED.get(info["name"], {}), "script_name": info["name"], "script_args": args}
            yield f"script {info['name']}{where}", more, {}
    if "w2sd probe" in scripts:
        for does in PROBED:
            yield f"probe: {does}", {}, {"W2SD probe": {"args": [does]}}
        inpainting = {**again(init_image), "mask": png(mask)}
        yield "probe: latent, in inpainting", inpainting, {"W2SD probe": {"args": ["latent"]}}


def gaps_of(webui, ask: dict, alwayson: dict) -> dict:
    own = {"weak_cfg": ask.get("cfg_scale", PLAIN["cfg_scale"])}
    found = {"guidance": {"weak_cfg": 2.0}, "prompt": {**own, "weak_prompt": "a dog"}}
    found["negative prompt"] = {**own, "weak_negative_prompt": "red " * 90}
    loaded = ask["override_settings"]["sd_model_checkpoint"]
    if f"{loaded}-weak" in [m["model_name"] for m in webui.get("/sdapi/v1/sd-models")]:
        found["checkpoint"] = {**own, "weak_checkpoint": f"{loaded}-weak"}
    if "ControlNet" in alwayson:
        found["pipeline"] = {**own, "weak_without": "ControlNet"}
    return found


@pytest.mark.parametrize("part", range(PARTS))
def test_sweep(webui, record, init_image, scripts, every, part):
    """What is beside is looked at to the end, whatever is found on the way."""
    ask, has_probe, wrong, without = asking(webui, "sd15"), "w2sd probe" in scripts, {}, {}
    looked_at = heard = 0
    wanted = re.compile(os.environ.get("SWEEP", ""), re.IGNORECASE)
    there = beside(webui, scripts, init_image, ask["override_settings"]["sd_model_checkpoint"])
    for i, (name, more, alwayson) in enumerate(there):
        if i % PARTS != part or not wanted.search(name):
            continue
        options = {**ask["override_settings"], **more.get("override_settings", {})}
        one = Sweep(webui, name, {**ask, "steps": 3, **more, "override_settings": options}, alwayson, has_probe)
        try:
            one.made()
        except AssertionError:
            record(f"sweep, {webui.name}", name, "refused", "n.a. without W2SD too")
            continue
        looked_at += 1
        try:
            # The same request without it, if it is more than a kind of request.
            is_beside = alwayson or set(more) & {"override_settings", "script_name"}
            bare = {key: more[key] for key in more if is_beside and key not in ITSELF}
            if str(bare) not in without:
                plainly = Sweep(webui, "nothing", {**ask, "steps": 3, **bare}, has_probe=has_probe)
                without[str(bare)] = plainly.made()
            # What is the host's own: an option; on those that have come of A1111 also a request, a script of the list.
            is_option = "override_settings" in more and name not in REQUESTS
            common = not alwayson and (webui.forge or is_option)
            third = i % 3 if common and not every else None
            one.look(gaps_of(webui, one.ask, alwayson), without[str(bare)], third, every)
        except AssertionError as error:
            one.note("failed", str(error).splitlines()[0][:120])
        heard += "own calls" in one.seen
        for column, word in one.told().items():
            record(f"sweep, {webui.name}", name, column, word)
            if word not in ("yes", "no", "refused", "same picture"):
                wrong[name, column] = word
        if one.refused:
            record(f"sweep, {webui.name}", name, "refused", one.refused[:100])
        print(name, one.told(), one.refused[:100], flush=True)
    if not looked_at:
        pytest.skip("nothing of this part that can be drawn is named so")
    assert not wrong
    assert heard or not has_probe or wanted.pattern, "the probe is there, and nothing's own calls were heard"
