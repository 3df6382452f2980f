"""Jobs that cannot be done end with the reason, and the next one works; the refiner; the script's other doors."""

from types import SimpleNamespace

import fastapi
import pytest
from fastapi.testclient import TestClient

from lib_w2sd.page.settings import COMPARISON, SETTINGS, schema

from .. import infotexts, webui
from ..webui.host import same_pictures

EQUAL = {"inversion": "matched", "weak_cfg": 6.0, "lambda_steps": -1}
BAD = {
    "lambda_steps": -2,
    "strength": float("nan"),
    "inversion": "ddim",
    "weak_cfg": float("inf"),
    "strong_cfg": "ten",
    "weak_prompt": "(a cat",
    "weak_negative_prompt": ["blurry"],
    "hires": "sometimes",
    "hires_lambda_steps": 1.5,
}


def refused(host, settings, kind="txt2img", **fields):
    """The message of a request that must not give a picture."""
    with pytest.raises(fastapi.HTTPException) as refusal:
        getattr(host, kind)(settings, **fields)
    assert refusal.value.status_code == 422
    assert str(refusal.value) == refusal.value.detail  # what the page shows
    return refusal.value.detail


@pytest.mark.parametrize("name", BAD)
def test_a_bad_setting_ends_the_job_and_the_next_one_works(host, name):
    plain, reflected = host.txt2img(), host.txt2img({})
    for kind in ("txt2img", "img2img"):
        message = refused(host, {name: BAD[name]}, kind)
        assert name in message and repr(BAD[name]) in message and "allowed" in message
        assert host.calls == []
    assert same_pictures(host.txt2img(), plain)
    assert same_pictures(host.txt2img({}), reflected)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ([{"enabled": "yes"}], "enabled"),
        ([{"enabled": True, "lambda": 3}], "unknown setting 'lambda'"),
        ([True, "three"], "lambda_steps"),
        ([None], "enabled"),
    ],
)
def test_arguments_of_any_shape_are_looked_at(host, settings, words):
    assert words in refused(host, settings)


@pytest.mark.parametrize("settings", [{"lambda_steps": "three"}, {"weak_without": "ControlNet"}], ids=["early", "late"])
def test_what_the_host_keeps_encoded_is_not_taken_for_the_next_job(host, settings):
    """ControlNet marks it as sampling begins, and drops it as the network is first called."""
    p = host.request("Txt2Img", settings)
    p.cached_c, p.cached_uc = ["for these prompts", "conds"], ["for these prompts", "conds"]
    kept = p.cached_c, p.cached_uc
    with pytest.raises(Exception, match=next(iter(settings))):
        host.process(p)
    assert [cache[0] for cache in kept] == [None, None]


def sample_by_feeling(model, x, extra_args=None, callback=None, disable=None):
    """A sampler from an extension that keeps its schedule to itself."""
    return model(x, 3.0 * x.new_ones(len(x)), **extra_args)


@pytest.fixture
def feeling(host):
    samplers = host.modules["sd_samplers"]
    data = samplers.SamplerData("Feeling", lambda: samplers.KDiffusionSampler(sample_by_feeling), {})
    samplers.all_samplers_map["Feeling"] = data


def test_samplers_that_cannot_be_reflected(host, feeling):
    plain = host.txt2img(sampler_name="Feeling")
    message = refused(host, {}, sampler_name="Feeling")
    assert "neither sigmas nor timesteps" in message and "Choose another sampler" in message
    assert host.calls == []
    assert same_pictures(host.txt2img(sampler_name="Feeling"), plain)


def test_hires_sampler_that_cannot_be_reflected_counts_only_where_it_would_be(host, feeling):
    fields = {"enable_hr": True, "hr_sampler_name": "Feeling", "hr_cfg": 6.0}
    assert "sample_by_feeling" in refused(host, {"hires": "same"}, **fields)
    assert host.txt2img({"hires": "off"}, **fields).pictures
    assert host.txt2img({"hires": "own", "hires_lambda_steps": 0}, **fields).pictures


def test_a_sampler_that_is_no_sampling_function(host):
    """Other extensions put objects of their own in its place."""

    class Samplerless(SimpleNamespace):
        filename = "other"

        def title(self):
            return "Samplerless"

        def __getattr__(self, hook):
            return lambda p, *args, **kwargs: self.replace(p) if hook == "process_before_every_sampling" else None

        def replace(self, p):
            p.sampler = SimpleNamespace(sample=None, config=None)

    host.others.append(Samplerless())
    assert "has no sampling function" in refused(host, {})


class Broken(Exception):
    pass


def broken(*args, **kwargs):
    raise Broken("a bug of ours")


@pytest.mark.parametrize("where", ["build_sides", "attach", "encode", "pass_name", "coordinates_of", "is_flow", "unet"])
@pytest.mark.parametrize("kind", ["txt2img", "img2img"])
def test_a_bug_of_ours_ends_the_job_rather_than_sell_a_plain_picture(host, where, kind, monkeypatch):
    with monkeypatch.context() as patch:
        owner = next(of for of in (host.hooks, host.extension.HOST, host.hooks.SamplingPass) if hasattr(of, where))
        patch.setattr(owner, where, broken)
        with pytest.raises(Broken):
            getattr(host, kind)({"weak_prompt": "a dog"})
        # Off, nothing of it is touched.
        assert getattr(host, kind)({"enabled": False}).pictures
    assert getattr(host, kind)({"weak_prompt": "a dog"}).pictures


REFINED = {"refiner_checkpoint": "refined", "refiner_switch_at": 0.4}


@pytest.mark.parametrize("scale", [0, 1])
def test_evaluation_that_the_refiner_takes_over_keeps_its_scale(host, scale):
    """The host then puts the pass's own conds in the place of the one row that was asked for."""
    fields = {**REFINED, "cfg_scale": 6.0}
    no_gap = {**EQUAL, "strong_cfg": scale, "weak_cfg": scale}
    assert same_pictures(host.txt2img(no_gap, **fields), host.txt2img(**fields))


@pytest.mark.parametrize("options", [{}, {"refiner_switch_by_sample_steps": True}])
@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DDIM", "DPM++ 2M"])
def test_refiner_that_takes_over_inside_a_reflection(host, sampler, options):
    vars(host.shared.opts).update(options)
    fields = {"sampler_name": sampler, **REFINED}
    plain = host.txt2img(**fields)
    assert plain.params["Refiner"] == "refined"
    assert not same_pictures(plain, host.txt2img(sampler_name=sampler))
    equal = host.txt2img(EQUAL, **fields)
    assert same_pictures(equal, plain)
    assert equal.params.items() >= plain.params.items()
    assert host.shared.sd_model.sd_checkpoint_info.name == "refined"
    assert same_pictures(host.txt2img(EQUAL, **fields), plain)


@pytest.mark.parametrize("settings", [{}, {"weak_prompt": "a dog", "weak_cfg": 1}, {"inversion": "matched"}])
@pytest.mark.parametrize("lambda_steps", [1, 5])
def test_rows_are_counted_across_a_refiner(host, settings, lambda_steps):
    """It may bring a UNet of its own (Forge), in an extra call or in one of the sampler's."""
    host.sd_models.load("refined")
    second = host.unet
    second.calls.clear()
    host.sd_models.load("base")
    unets = {id(unet): unet for unet in (second, host.unet)}.values()
    host.txt2img({"lambda_steps": lambda_steps, **settings}, **REFINED)
    (run,) = host.trace()
    assert run["rows"] == sum(sum(unet.calls) for unet in unets)
    assert all(e["rows"] > 0 for e in run["evaluations"] if e["kind"] == "step")
    assert "apply_model" not in vars(host.metered)


def test_weak_prompt_is_encoded_anew_by_the_refiners_text_encoder(host):
    kind, encoded = host.sampling("prompts", "Prompts"), []
    encode = kind.encode

    def spy(self, texts, negative, model=None):
        encoded.append((self.webui.checkpoint().name, texts))
        return encode(self, texts, negative, model)

    kind.encode = spy
    host.txt2img({"lambda_steps": -1, "weak_prompt": "a dog", "weak_cfg": 1}, **REFINED)
    assert encoded == [("base", ["a dog"]), ("refined", ["a dog"])]


# ---------------------------------------------------------------- prompts


def test_placeholders_and_extra_networks_through_batches(host):
    """The page's prompts have their <lora:...> when hooks see them; the weak side's must not."""
    kind, encoded = host.sampling("prompts", "Prompts"), []
    encode = kind.encode

    def spy(self, texts, negative, model=None):
        encoded.append((texts, negative))
        return encode(self, texts, negative, model)

    kind.encode = spy
    host.txt2img(
        {"weak_prompt": "not {prompt}", "weak_negative_prompt": "{negative_prompt}, {prompt}", "weak_cfg": 2},
        prompt=["a <lora:style:0.8>cat", "b", "c", "d"],
        negative_prompt=["1", "2", "3", "4"],
        batch_size=2,
        n_iter=2,
    )
    assert encoded == [
        (["not a cat", "not b"], False),
        (["1, a cat", "2, b"], True),
        (["not c", "not d"], False),
        (["3, c", "4, d"], True),
    ]


def test_a_weak_prompt_that_spells_out_the_pictures_own_is_no_gap(host):
    spelled = {**EQUAL, "weak_prompt": "a [cat:dog:3]", "weak_negative_prompt": "blurry"}
    assert same_pictures(host.txt2img(spelled, prompt="a [cat:dog:3]"), host.txt2img(prompt="a [cat:dog:3]"))


@pytest.mark.parametrize(
    "settings", [{"weak_prompt": "a dog", "weak_cfg": 0}, {"weak_negative_prompt": "", "weak_cfg": 1}]
)
def test_user_is_told_of_a_prompt_without_effect(host, settings):
    (comment,) = host.txt2img(settings).comments
    assert "has no effect" in comment
    assert host.txt2img({**settings, "enabled": False}).comments == []


# ---------------------------------------------------------------- infotext, XYZ, routes


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"lambda_steps": 3, "strength": 0.3333333333, "inversion": "fixed-point", "weak_cfg": -1.5},
        {"strong_cfg": 2.5, "weak_prompt": 'a "dog": {prompt},\n x', "weak_negative_prompt": "", "weak_cfg": 1},
    ],
)
def test_pasted_infotext_gives_the_same_picture(host, settings):
    picture = host.txt2img(settings)
    params = infotexts.parse(infotexts.write("a cat", "blurry", {"Steps": 6, "Seed": 1, **picture.params}))
    with gradio_blocks():
        host.script.ui(is_img2img=False)
    controls = [field.function(params) for field in host.script.infotext_fields]
    again = host.txt2img(controls)
    assert same_pictures(again, picture)
    assert again.params == picture.params


def gradio_blocks():
    import gradio

    return gradio.Blocks()


def with_xyz_grid(host):
    grid = host.modules["xyz_grid"]
    host.modules["scripts"].scripts_data += [
        SimpleNamespace(script_class=SimpleNamespace(__module__="other.py"), module=None),
        SimpleNamespace(script_class=SimpleNamespace(__module__="xyz_grid.py"), module=grid),
    ]
    for _ in range(2):  # as when the page is reloaded
        host.modules["script_callbacks"].before_ui_callback()
    return {option.label: option for option in grid.axis_options}, grid


def test_axes_are_added_once_and_make_cells(host):
    axes, grid = with_xyz_grid(host)
    assert len(grid.axis_options) == len(axes) == 1 + len(SETTINGS) - len(COMPARISON)
    plain = host.txt2img()
    pictures = []
    for x in (0, 2):
        for y in (0.0, 3.0):
            p = host.request("Txt2Img", {"enabled": False})
            axes["[W2SD] Lambda"].apply(p, x, [0, 2])
            axes["[W2SD] Weak CFG"].apply(p, y, [0.0, 3.0])
            pictures.append(host.process(p))
            assert pictures[-1].params["W2SD lambda"] == str(x)
    assert same_pictures(pictures[0], plain) and same_pictures(pictures[1], plain)
    assert not same_pictures(pictures[2], plain) and not same_pictures(pictures[2], pictures[3])
    assert same_pictures(pictures[3], host.txt2img({"lambda_steps": 2, "weak_cfg": 3}))


def test_axes_are_there_before_the_grid_makes_its_list(host):
    """With --nowebui A1111 makes the scripts' controls, the grid's list of axes among them, and calls on_before_ui
    after that. What it does before, always, is to ask each script whether it is shown."""
    grid = host.modules["xyz_grid"]
    script = SimpleNamespace(script_class=SimpleNamespace(__module__="xyz_grid.py"), module=grid)
    host.modules["scripts"].scripts_data.append(script)
    for tab in (False, True):
        assert host.script.show(tab) is host.modules["scripts"].AlwaysVisible
    labels = [option.label for option in grid.axis_options]
    assert len(labels) == len(set(labels)) == 1 + len(SETTINGS) - len(COMPARISON)
    host.modules["script_callbacks"].before_ui_callback()
    assert [option.label for option in grid.axis_options] == labels


def test_axis_of_the_weak_prompt_starts_from_the_requests_settings(host):
    axes, _ = with_xyz_grid(host)
    axis = axes["[W2SD] Weak prompt S/R"]
    p = host.request("Txt2Img", {"weak_prompt": "{prompt}, dog", "weak_cfg": 1})
    axis.confirm(p, ["dog", "bird"])
    axis.apply(p, "bird", ["dog", "bird"])
    assert host.process(p).params["W2SD weak prompt"] == "{prompt}, bird"
    with pytest.raises(fastapi.HTTPException) as refusal:
        axis.confirm(host.request("Txt2Img", {"weak_prompt": "{prompt}, dog"}), ["fish", "bird"])
    assert refusal.value.status_code == 422 and "'fish'" in refusal.value.detail


@pytest.mark.parametrize("accounts", [None, "ada:secret,bob:word"])
def test_routes_in_the_hosts_application(host, accounts):
    host.shared.cmd_opts.api_auth = accounts
    app = fastapi.FastAPI()
    host.modules["script_callbacks"].app_started_callback(None, app)
    client = TestClient(app)
    auth = {"auth": ("bob", "word")} if accounts else {}
    assert client.get("/w2sd/v1/schema").status_code == (401 if accounts else 200)
    assert client.get("/w2sd/v1/schema", **auth).json() == schema()
    host.txt2img({"lambda_steps": 2})
    assert client.get("/w2sd/v1/trace", **auth).json()["passes"][0]["reflected"] == 2
    described = client.get("/w2sd/v1/host", **auth).json()
    assert described["host"] == host.flavour
    assert described.pop("w2sd") and described == webui.signatures(host.flavour)


@pytest.mark.parametrize("flavour", webui.FLAVOURS)
def test_everything_relied_on_is_there(flavour):
    relies_on = webui.signatures(flavour)["relies_on"]
    assert len(relies_on) >= 19
    assert None not in relies_on.values()


def test_a_name_that_is_gone_is_reported_as_such(host):
    gone = SimpleNamespace(
        name="x",
        ABILITIES={},
        RELIES_ON=("modules.shared:nothing", "modules.nowhere:at_all", "modules.shared:opts"),
    )
    assert set(host.hooks.describe(gone)["relies_on"].values()) == {None}


def test_verbose_prints_a_line_a_pass(host, capsys):
    host.shared.cmd_opts.w2sd_verbose = True
    host.txt2img({"lambda_steps": 2}, enable_hr=True, hr_cfg=6.0)
    first, hires = capsys.readouterr().out.splitlines()
    assert first.startswith("W2SD txt2img, sample_euler: 2 of 6 steps reflected (matched), 16 UNet rows")
    assert hires.startswith("W2SD hires, sample_euler: 2 of ")


def test_an_offset_without_a_lora_is_said_below_the_gallery(a1111):
    p = a1111.request("Txt2Img", {"weak_lora_offset": -2.3})
    a1111.process(p)
    assert any("weak_lora_offset has no effect" in comment for comment in p.comments)
