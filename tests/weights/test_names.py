"""Which file a name means: the whole one, or none."""

import hashlib
from types import SimpleNamespace

import fastapi
import pytest

from lib_w2sd.errors import CheckpointError
from lib_w2sd.page.settings import Settings
from lib_w2sd.weights.names import Known, NotMeant, meant

from ..hosts.test_webui_jobs import with_xyz_grid


def digits(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()


def known(name: str, *others: str) -> Known:
    return Known(name, others, (digits(name)[:10], digits(name), digits(name + "old")[:8]))


FOO2, FOO, DREAM = known("foo-v2.safetensors"), known("anime/foo.safetensors"), known("sd/dream.ckpt", "sd_dream")
PLAIN, UNHASHED = known("dream.safetensors"), Known("new.safetensors")
ALL = [FOO2, FOO, DREAM, UNHASHED]


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ("foo-v2.safetensors", FOO2),
        ("foo-v2", FOO2),
        (" foo-v2 ", FOO2),
        ("foo", FOO),
        ("foo.safetensors", FOO),
        ("anime/foo", FOO),
        ("anime\\foo.safetensors", FOO),
        ("Foo", FOO),
        ("sd_dream", DREAM),
        (digits("sd/dream.ckpt")[:10], DREAM),
        (digits("sd/dream.ckpt").upper(), DREAM),
        (digits("sd/dream.ckpt")[:12], DREAM),
        (digits("sd/dream.ckptold")[:8], DREAM),
        (f"sd/dream.ckpt [{digits('sd/dream.ckpt')[:10]}]", DREAM),
        (f"dream [{digits('sd/dream.ckpt')[:10].upper()}]", DREAM),
        # Somebody else's name for the very same file
        (f"mydream.ckpt [{digits('sd/dream.ckpt')[:10]}]", DREAM),
        # It has not been hashed: there is nothing to hold against it
        ("new [0123456789]", UNHASHED),
    ],
)
def test_a_whole_name_or_a_hash(given, file):
    assert meant(given, ALL) is file


@pytest.mark.parametrize(
    "given", ["fo", "v2", "safetensors", "foo-v", "anime", ".ckpt", "ckpt", "", " ", "[]", "abc", digits("foo")[:7]]
)
def test_a_part_of_a_name_is_none(given):
    with pytest.raises(NotMeant, match="none of the WebUI's checkpoints"):
        meant(given, ALL)


def test_the_nearest_names_are_offered():
    for given, near in (
        ("foo-v", "foo-v2.safetensors"),
        ("fooo", "anime/foo.safetensors"),
        ("dreams", "sd/dream.ckpt"),
    ):
        with pytest.raises(NotMeant, match=f"the nearest: .*{near}"):
            meant(given, ALL)
    with pytest.raises(NotMeant) as refusal:
        meant("something else altogether", ALL)
    assert "nearest" not in str(refusal.value)


def test_a_title_whose_hash_is_another_files():
    with pytest.raises(NotMeant) as refusal:
        meant("foo-v2.safetensors [0123456789]", ALL)
    assert str(refusal.value).startswith(f"but the WebUI has foo-v2.safetensors [{digits('foo-v2.safetensors')[:10]}]")
    of_dream = digits("sd/dream.ckpt")[:10]
    with pytest.raises(NotMeant, match=f"\\[{of_dream}\\] is sd/dream.ckpt"):
        meant(f"foo-v2 [{of_dream}]", ALL)
    with pytest.raises(NotMeant, match="none of the WebUI's checkpoints, by name or by hash"):
        meant("nothing [0123456789]", ALL)


def test_one_name_of_two_files():
    """The name as it stands comes first; where that does not decide, nothing is chosen."""
    both = [PLAIN, DREAM]
    assert meant("dream", both) is PLAIN and meant("sd/dream", both) is DREAM
    others = [known("a/one.safetensors"), known("b/one.safetensors")]
    with pytest.raises(NotMeant, match="more than one file: a/one.safetensors, b/one.safetensors"):
        meant("one", others)
    assert meant(f"one [{digits('b/one.safetensors')[:10]}]", others) is others[1]


# ------------------------------------------------------------------------------------------ in a WebUI


@pytest.mark.parametrize("given", ["bas", "safetensors", "base [0123456789]", "refiner.ckpt2"])
def test_a_request_is_refused_and_so_is_the_cell_of_a_grid(host, given):
    message = "checkpoint.* was given .*allowed are whole names"
    settings = Settings(enabled=True, weak_checkpoint=given)
    with pytest.raises(CheckpointError, match=message) as refusal:
        host.hooks.checkpoints.WeakCheckpoint(None, settings).opened()
    assert refusal.value.status_code == 422
    axes, _ = with_xyz_grid(host)
    with pytest.raises(fastapi.HTTPException, match=message):
        axes["[W2SD] Weak checkpoint"].confirm(host.request("Txt2Img", {}), ["base", given])


def test_a_hash_is_made_where_a_title_asks_for_it(host):
    checkpoints = host.hooks.checkpoints
    hashed = hashlib.sha256(b"refiner").hexdigest()[:10]
    assert checkpoints.find("refiner").shorthash is None
    with pytest.raises(CheckpointError, match="another file than that of the hash"):
        checkpoints.find("refiner [0123456789]")
    assert checkpoints.find(f"refiner [{hashed}]").name == "refiner"
    assert checkpoints.find(hashed).name == "refiner"


@pytest.mark.parametrize(("weak", "loaded"), [(True, False), (False, True), (True, True), (False, False)])
def test_another_terminal_noise_is_said(host, weak, loaded, monkeypatch):
    """A mark in the file, not the weights: the two may be asked in each other's place, but not without a word."""
    checkpoints, comments = host.hooks.checkpoints, []
    weights = SimpleNamespace(zero_terminal=weak)

    class WeakCheckpoint(checkpoints.WeakCheckpoint):
        slots, merged, check_hires, announce = (lambda self, *_: {} for _ in range(4))

        def zero_terminal(self):
            return loaded

        def overlay(self, weights):
            return weights

    monkeypatch.setattr(checkpoints.CACHE, "get", lambda *args: weights)
    p = SimpleNamespace(comment=comments.append)
    assert WeakCheckpoint(p, Settings(enabled=True, weak_checkpoint="refiner")).opened() is weights
    assert len(comments) == (weak != loaded)
    if comments:
        one, other = ("is not", "is") if weak else ("is", "is not")
        assert f"loaded checkpoint {one} marked ztsnr" in comments[0] and f"the weak one {other}" in comments[0]
