"""The comparison picture: what stands beside a picture is what W2SD switched off would have made."""

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


def test_cells_of_a_grid_are_not_compared(host):
    class Plot(host.modules["scripts"].Script):
        def title(self):
            return "X/Y/Z plot"

    p = host.request("Txt2Img", {"comparison": True})
    p.scripts.selectable_scripts = [host.modules["scripts"].Script(), Plot()]
    p.script_args[0] = 2
    assert len(host.process(p).images) == 1


def test_img2img_and_hires(host):
    assert len(host.img2img({"comparison": True}, n_iter=2).images) == 4
    assert len(host.txt2img({"comparison": True}, enable_hr=True).images) == 2


def test_interrupted_before_the_plain_picture(host):
    p = host.request("Txt2Img", {"comparison": True})

    class Interrupting(host.modules["scripts"].Script):
        def postprocess_image_after_composite(self, p, pp, *args):
            host.shared.state.interrupted = True

    script = Interrupting()
    script.args_from = script.args_to = 1
    p.scripts.alwayson_scripts.insert(0, script)
    assert len(host.process(p).images) == 1
