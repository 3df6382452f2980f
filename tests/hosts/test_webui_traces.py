"""An extra evaluation leaves nothing behind; and whatever ends a run, the host is afterwards as it was before."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from lib_w2sd.page import plot as gap_plot

from ..webui.host import same_pictures

NMASK = torch.zeros(4, 8, 8)
NMASK[:, 2:6, 2:6] = 1.0
LONG = "a cat on a table in a house by the sea in the rain at night"
# Requests that between them make the host write down everything that it ever does in a call.
REQUESTS = {
    "Euler": ("txt2img", {}, {}),
    "Euler a": ("txt2img", {"sampler_name": "Euler a"}, {}),
    "Heun": ("txt2img", {"sampler_name": "Heun"}, {}),
    "DDIM CFG++": ("txt2img", {"sampler_name": "DDIM CFG++"}, {}),
    "padded": ("txt2img", {"prompt": LONG}, {"pad_cond_uncond": True}),
    "padded as of old": ("txt2img", {"negative_prompt": LONG}, {"pad_cond_uncond_v0": True}),
    "NGMS": ("txt2img", {}, {"s_min_uncond": 20.0}),
    "early CFG": ("txt2img", {}, {"skip_early_cond": 0.9}),
    "inpainting": ("img2img", {"mask": 1 - NMASK, "nmask": NMASK}, {}),
    "hires": ("txt2img", {"enable_hr": True, "hr_cfg": 5.0}, {}),
}
SETTINGS = [
    {"weak_cfg": 0},
    {"weak_cfg": 3, "inversion": "matched"},
    {"strong_cfg": 1, "weak_cfg": 0, "inversion": "fixed-point"},
    {"weak_prompt": "a dog", "weak_negative_prompt": LONG, "weak_cfg": 2},
]


def state_of(host, run):
    """Everything that a call of the host's denoiser writes to, by name; `run` is the sampling run's object."""
    d, p, shared = run.denoiser, run.p, host.shared
    return {
        "step": (d.step, type(d.step)),
        "padded": (d.padded_cond_uncond, d.padded_cond_uncond_v0),
        "last_noise_uncond": d.last_noise_uncond,
        "last_latent": run.sampler.last_latent,
        "preview": (shared.state.current_latent, shared.state.previews),
        "generator": torch.get_rng_state(),
        "infotext": dict(p.extra_generation_params),
        "hr_cfg": getattr(p, "hr_cfg", None),
        "denoiser": {k for k in vars(d) if not k.startswith("_")},
        "store_latent": host.modules["sd_samplers_common"].store_latent,
        "scale": getattr(d, "cond_scale_miltiplier", None),
    }


def same(a, b):
    if isinstance(a, torch.Tensor) and a.dtype == torch.uint8:
        return torch.equal(a, b)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a is b or (not isinstance(a, torch.Tensor) and a == b)


@contextmanager
def watched(host):
    """Collects the names of whatever any single extra evaluation leaves changed."""
    kind, changed = host.sampling("sides.evaluator", "Evaluator"), []
    evaluate = kind.evaluate

    def watching(self, x, t, kwargs, side, name):
        before, latent = state_of(host, self.webui), x.clone()
        result = evaluate(self, x, t, kwargs, side, name)
        after = state_of(host, self.webui)
        changed.extend(name for name in before if not same(before[name], after[name]))
        if not torch.equal(latent, x):
            changed.append("x")
        watching.count += 1
        return result

    watching.count = 0
    kind.evaluate = watching
    yield changed
    assert watching.count >= 4


def make(host, request, settings):
    kind, fields, options = REQUESTS[request]
    vars(host.shared.opts).update(options)
    torch.manual_seed(3)
    return getattr(host, kind)(settings, **fields)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda s: ", ".join(f"{k} {v}" for k, v in s.items())[:40])
@pytest.mark.parametrize("request_name", REQUESTS)
def test_no_evaluation_leaves_a_trace(host, request_name, settings):
    with watched(host) as changed:
        make(host, request_name, {"lambda_steps": 3, **settings})
    assert changed == []


EVERYWHERE = {"step", "last_latent", "preview"}
LEFT = {
    "a1111": {
        "Euler": EVERYWHERE,
        "DDIM CFG++": EVERYWHERE | {"last_noise_uncond"},
        "padded": EVERYWHERE | {"padded"},
        "padded as of old": EVERYWHERE | {"padded"},
        "early CFG": EVERYWHERE | {"infotext"},
    },
    "forge": {
        "Euler": EVERYWHERE,
        "DDIM CFG++": EVERYWHERE | {"last_noise_uncond"},
        "inpainting": EVERYWHERE | {"generator"},
        "early CFG": EVERYWHERE | {"infotext"},
    },
}


@pytest.mark.parametrize(
    ("host", "request_name"), [(f, name) for f, names in LEFT.items() for name in names], indirect=["host"]
)
def test_the_watch_sees_what_would_be_left(host, request_name):
    """With the taking back switched off: a test of the test above."""
    host.sampling("sides.evaluator", "Evaluator").untraced = lambda self, kwargs, name: nullcontext()
    with watched(host) as changed:
        make(host, request_name, {"lambda_steps": 3, "weak_cfg": 3, "strong_cfg": 4})
    assert set(changed) == LEFT[host.flavour][request_name]


@pytest.mark.parametrize("request_name", REQUESTS)
def test_infotext_is_the_plain_pictures_and_ours(host, request_name):
    plain = make(host, request_name, None)
    reflected = make(host, request_name, {"lambda_steps": 3})
    ours = {k: v for k, v in reflected.params.items() if k.startswith("W2SD ")}
    assert ours
    assert {**plain.params, **ours} == reflected.params


# ---------------------------------------------------------------- whatever ends a run


class Broken(Exception):
    pass


def assert_untouched(host, p):
    assert "apply_model" not in vars(host.metered)
    assert host.modules["sd_samplers_common"].store_latent.__name__ == "store_latent"
    assert p.hr_cfg == 6.0
    host.unet.before_call = None
    host.shared.state.interrupted = False


def fields_of(sampler):
    return {"sampler_name": sampler, "steps": 4, "enable_hr": True, "hr_cfg": 6.0}


ENDING = {"lambda_steps": 2, "inversion": "fixed-point", "weak_prompt": "a dog", "weak_cfg": 3}


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DDIM"])
def test_an_exception_at_any_call_leaves_the_host_as_it_was(host, sampler):
    fields = fields_of(sampler)
    plain = host.txt2img(**fields)
    reflected = host.txt2img(ENDING, **fields)
    for k in range(len(host.calls)):

        def break_at(number, k=k):
            if number == k:
                raise Broken

        host.unet.before_call = break_at
        p = host.request("Txt2Img", ENDING, **fields)
        with pytest.raises(Broken):
            host.process(p)
        assert_untouched(host, p)
    assert same_pictures(host.txt2img(**fields), plain)
    assert same_pictures(host.txt2img(ENDING, **fields), reflected)


def interrupted_at(host, k, fields):
    """The latents that a run ended by the page's Interrupt at its call `k` leaves, and the latest of its own calls'."""
    common, latest = host.modules["sd_samplers_common"], []
    p = host.request("Txt2Img", ENDING, **fields)
    store = common.store_latent

    def remember(decoded):
        latest[:] = [p.sampler.last_latent.clone()]
        store(decoded)

    def interrupt(number):
        # The call under way still ends; the next one does not begin.
        host.shared.state.interrupted = number >= k - 1

    common.store_latent, host.unet.before_call = remember, interrupt
    try:
        picture = host.process(p)
        assert len(host.calls) == k
        assert "apply_model" not in vars(host.metered)
        assert common.store_latent is remember
    finally:
        common.store_latent, host.unet.before_call, host.shared.state.interrupted = store, None, False
    return picture.pictures, latest


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DDIM"])
def test_an_interrupt_at_any_call_keeps_the_latest_picture_of_the_samplers_own_calls(host, sampler):
    fields = {**fields_of(sampler), "enable_hr": False}
    plain = host.txt2img(**fields)
    host.txt2img(ENDING, **fields)
    calls = len(host.calls)
    with_own = 0
    for k in range(1, calls):
        pictures, latest = interrupted_at(host, k, fields)
        if latest:
            assert torch.equal(pictures[0], latest[0][0])
            with_own += 1
    assert 0 < with_own < calls - 1  # before the first call of its own there is none to keep
    assert same_pictures(host.txt2img(**fields), plain)


def test_sampler_is_the_hosts_again_after_off(host):
    """A sampler's function is found through any number of our wrappers."""
    p = host.request("Img2Img", {"lambda_steps": 2}, n_iter=2)
    host.process(p)
    own = host.sampler_function("Euler")
    assert p.sampler.func is not own
    assert host.hooks.original(p.sampler.func) is own
    assert p.sampler.func.__name__ == own.__name__


def test_generator_is_put_back_even_where_the_call_ends_the_job(forge):
    """Forge's inpainting draws from the global generator before the network is asked."""

    def break_at(number):
        raise Broken

    forge.unet.before_call = break_at
    torch.manual_seed(3)
    before = torch.get_rng_state()
    with pytest.raises(Broken):
        forge.img2img({}, mask=1 - NMASK, nmask=NMASK)
    assert torch.equal(torch.get_rng_state(), before)
    forge.unet.before_call = None


def test_a_job_that_is_interrupted_before_its_first_step_says_so(host):
    """However early: in the place of what the panel told of the job before."""
    host.txt2img({"lambda_steps": 2})
    trace, said = host.hooks.Trace, "interrupted before its first step"
    assert said not in gap_plot.html(trace.last.as_dict())
    host.shared.state.interrupted = True
    try:
        host.txt2img({"lambda_steps": 2})
    finally:
        host.shared.state.interrupted = False
    assert said in gap_plot.html(trace.last.as_dict())
    host.txt2img()
    host.txt2img({"lambda_steps": 2})
    assert said not in gap_plot.html(trace.last.as_dict())
