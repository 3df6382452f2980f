"""The comparison picture: what stands beside a picture is what W2SD switched off would have made."""

import json
from copy import copy
from types import SimpleNamespace

import pytest
from PIL import ImageChops


def as_tuples(picture):
    pixels = picture.tobytes()
    return [tuple(pixels[i : i + 3]) for i in range(0, len(pixels), 3)]


def test_plain_picture_w2sds_and_their_difference(host):
    plain = host.txt2img([False], batch_size=2, n_iter=2).images
    alone = host.txt2img({"lambda_steps": 3}, batch_size=2, n_iter=2)
    compared = host.txt2img({"lambda_steps": 3, "comparison": True}, batch_size=2, n_iter=2)
    assert len(compared.images) == 8 and compared.images[:4] == alone.images
    for before, after, row in zip(plain, alone.images, compared.images[4:]):
        assert before != after
        width, height = before.size
        parts = [row.crop((i * width, 0, (i + 1) * width, height)) for i in range(3)]
        assert [part.tobytes() for part in parts[:2]] == [before.tobytes(), after.tobytes()]
        # Where the two are the same it is black, and its largest value is white.
        difference = ImageChops.difference(before, after)
        assert max(high for _, high in parts[2].getextrema()) == 255
        assert [p != (0, 0, 0) for p in as_tuples(parts[2])] == [p != (0, 0, 0) for p in as_tuples(difference)]
        assert row.info["labels"][:2] == ["plain", "W2SD"] and row.info["labels"][2].startswith("difference × ")


@pytest.mark.parametrize("gap", [{"weak_cfg": 2}, {"weak_prompt": "a dog", "weak_cfg": 1, "strong_cfg": 1}])
def test_beside_plain_what_the_user_could_do_instead(host, gap):
    ask = {"lambda_steps": 3, "inversion": "paper", "comparison": True, **gap}
    for with_ in ("same push", "same time"):
        made = host.txt2img({**ask, "comparison_with": with_}, steps=8)
        row, width = made.images[1], made.images[0].width
        (run,) = host.trace()
        known = sorted(r["effective_cfg"] for r in run["reflections"])[1] if with_ == "same push" else None
        steps = round(8 * run["rows"] / sum(e["rows"] for e in run["evaluations"] if e["kind"] == "step"))
        remedy = {"cfg_scale": round(known, 2), "steps": 8} if known else {"steps": steps}
        called = f"plain, CFG {remedy['cfg_scale']:g}" if known else f"plain, {steps} steps"
        assert row.info["labels"][:3] == ["plain", called, "W2SD"]
        own = [host.txt2img([False], **fields).images[0] for fields in ({"steps": 8}, remedy)]
        for i, picture in enumerate([*own, made.images[0]]):
            assert row.crop((i * width, 0, (i + 1) * width, row.height)).tobytes() == picture.tobytes()


def test_the_same_time_leaves_a_hires_pass_that_is_not_improved_its_steps(host):
    ask = {"lambda_steps": 3, "inversion": "paper", "comparison": True, "comparison_with": "same time", "hires": "off"}
    made = host.txt2img(ask, steps=6, enable_hr=True)
    row, width = made.images[1], made.images[0].width
    steps = int(row.info["labels"][1].removeprefix("plain, ").removesuffix(" steps"))
    assert steps > 6
    own = host.txt2img([False], steps=steps, enable_hr=True, hr_second_pass_steps=6).images[0]
    assert row.crop((width, 0, 2 * width, row.height)).tobytes() == own.tobytes()


def test_a_push_that_is_none_is_no_cfg_scale(host):
    made = host.txt2img({"inversion": "re-sampling", "comparison": True, "comparison_with": "same push"})
    assert made.images[1].info["labels"][:2] == ["plain", "W2SD"]


def test_infotext_is_the_pictures_own_and_stays_the_last_one(host):
    made = host.txt2img({"lambda_steps": 3, "comparison": True}, n_iter=2)
    assert len(made.infotexts) == 4 and all("W2SD lambda" in text for text in made.infotexts)
    assert made.infotexts[2:] == made.infotexts[:2]
    assert [image.info["parameters"] for image in made.images[2:]] == made.infotexts[:2]
    assert "W2SD lambda" in host.processing.last_infotext
    assert made.params["W2SD lambda"] == "3"


def test_saved_as_the_hosts_grids_are(host):
    saved = host.modules["images"].saved
    host.txt2img({"comparison": True}, seed=5)
    assert [(one.path, one.basename, one.seed) for one in saved] == [("grids", "w2sd", 5)]
    assert "W2SD lambda" in saved[0].info
    host.txt2img({"comparison": True}, do_not_save_grid=True)
    host.shared.opts.grid_save = False
    host.txt2img({"comparison": True})
    assert len(saved) == 1


def test_trace_is_that_of_the_picture_with_w2sd(host):
    host.txt2img({"lambda_steps": 3, "comparison": True})
    (run,) = host.trace()
    assert run["reflected"] == 3


def test_progress_counts_both(host):
    host.shared.state.job_count = -1
    host.txt2img({"comparison": True}, n_iter=2)
    assert host.shared.state.job_count == 4
    host.shared.state.job_count = -1
    host.txt2img({}, n_iter=2)
    assert host.shared.state.job_count == 2


@pytest.mark.parametrize("given", [{"comparison": True, "enabled": False}, {"comparison": True, "lambda_steps": 1000}])
def test_nothing_to_compare(host, given):
    """Switched off it is an ordinary picture; refused it is none."""
    if given.get("enabled", True):
        with pytest.raises(Exception, match="lambda_steps"):
            host.txt2img(given)
    else:
        assert len(host.txt2img(given).images) == 1


class Matrix:
    """Takes all that a run has given for its own, as "Prompt matrix" and "SD upscale" do."""

    def __init__(self, host):
        self.host = host

    def title(self):
        return "Nobody knows it"

    def run(self, p):
        p.n_iter, p.seed = 2, [p.seed, p.seed + 1]
        return self.host.processing.process_images(p)


class Loopback(Matrix):
    """Runs again and again, on one processing object and on copies of it."""

    def run(self, p):
        runs = [self.host.processing.process_images(of) for of in (p, copy(p), p)]
        images = [image for run in runs for image in run.images]
        return self.host.processing.Processed(p, images, info=runs[-1].infotexts[-1])


@pytest.mark.parametrize("script", [Matrix, Loopback])
def test_with_a_script_of_the_list_there_is_none(host, script, capsys):
    """Bit-identical to the same without, and not a row more."""
    chosen = script(host)
    host.script_list = [host.modules["scripts"].Script(), chosen]
    ask = {"lambda_steps": 3, "inversion": "paper"}
    without = host.process(host.request("Txt2Img", ask, chosen))
    rows, saved = list(host.calls), len(host.modules["images"].saved)
    for with_ in ("plain", "same push", "same time"):
        asked = {**ask, "comparison": True, "comparison_with": with_}
        p = host.request("Txt2Img", asked, chosen)
        made = host.process(p)
        assert made.images == without.images and made.infotexts == without.infotexts
        assert host.calls == rows and len(host.modules["images"].saved) == saved
        (told,) = p.comments
        assert "no comparison picture" in told and "(Nobody knows it)" in told and told in capsys.readouterr().out
    # Switched off there is nothing to say; without a script it is made as ever.
    p = host.request("Txt2Img", {**ask, "enabled": False, "comparison": True}, chosen)
    host.process(p)
    assert not p.comments
    assert len(host.txt2img({**ask, "comparison": True}).images) == 2


def test_img2img_and_hires(host):
    assert len(host.img2img({"comparison": True}, n_iter=2).images) == 4
    assert len(host.txt2img({"comparison": True}, enable_hr=True).images) == 2


def test_interrupted_before_the_plain_picture(host):
    p = host.request("Txt2Img", {"comparison": True})

    class Interrupting(host.modules["scripts"].Script):
        def title(self):
            return "Interrupting"

        def postprocess_image_after_composite(self, p, pp, *args):
            host.shared.state.interrupted = True

    script = Interrupting()
    script.args_from = script.args_to = 1
    p.scripts.alwayson_scripts.insert(0, script)
    assert len(host.process(p).images) == 1


class Within:
    """An extension that asks the scripts about a copy of a request that goes on, and makes a picture of its own within
    it, with the request's arguments: ADetailer."""

    filename = "within"

    def __init__(self, host):
        self.host, self.inner = host, []

    def title(self):
        return "Within"

    def __getattr__(self, hook):
        return lambda *args, **kwargs: None

    def postprocess_image_after_composite(self, p, pp, *args):
        if p.seed == 77:
            return
        run = p.scripts.run
        run("postprocess", copy(p), SimpleNamespace(images=[], infotexts=[], index_of_first_image=0))
        inner = self.host.processing.StableDiffusionProcessingImg2Img(p.scripts, copy(p.script_args), seed=77)
        self.inner.append(self.host.processing.process_images(inner))
        asked = copy(p)
        run("before_process", asked)
        run("process", asked)


def test_a_pass_of_another_extension_is_not_compared(host):
    host.others.append(Within(host))
    (within,) = host.others
    alone = host.txt2img({"lambda_steps": 3})
    calls = len(host.calls)
    plain = host.txt2img([False])
    calls += len(host.calls)
    within.inner.clear()
    compared = host.txt2img({"lambda_steps": 3, "comparison": True})
    assert compared.images[:1] == alone.images and len(compared.images) == 2
    assert compared.images[1].crop((0, 0, *plain.images[0].size)).tobytes() == plain.images[0].tobytes()
    assert len(host.calls) == calls, "a run of each kind, and no more"
    first, second = within.inner  # one for each half, and as that half is
    assert len(first.images) == len(second.images) == 1
    assert "W2SD lambda" in first.params and "W2SD lambda" not in second.params


@pytest.mark.parametrize("place", [0, 1], ids=["before W2SD", "after W2SD"])
def test_what_another_webui_is_sent(host, place):
    """Distributed sends a copy of all of p, as JSON, and every script's arguments, in the first hook but one."""
    sent = []

    class Sending(host.modules["scripts"].Script):
        args_from = args_to = 1

        def title(self):
            return "Sending"

        def before_process(self, p, *args):
            ours = {name: value for name, value in vars(p).items() if "w2sd" in name.lower()}
            sent.append(json.loads(json.dumps([p.script_args, p.prompt, p.seed, p.subseed, ours])))

    p = host.request("Txt2Img", {"lambda_steps": 3, "comparison": True}, batch_size=2, subseed=5)
    p.scripts.alwayson_scripts.insert(place, Sending())
    assert len(host.process(p).images) == 4
    (asked, *rest), (plain, *same) = sent
    assert asked[1]["enabled"] and asked[1]["comparison"] is False
    assert not plain[1]["enabled"] and plain[1]["comparison"] is False
    assert rest[:2] == same[:2] == ["a cat", 1]


def test_one_processing_object_for_many_pictures(host):
    """As in img2img's batch tab."""
    p = host.request("Img2Img", {"lambda_steps": 3, "comparison": True})
    assert [len(host.process(p).images) for _ in range(3)] == [2, 2, 2]
