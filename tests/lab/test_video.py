"""Clips: how the training's move, VBench's measures of them, the motion module, and Table 12's report."""

import json
import random

import pytest
import torch
from PIL import Image

pytest.importorskip("k_diffusion")
pytest.importorskip("matplotlib")

from lib_w2sd.lab.emoji import animation, models, motion, scores, unet, vbench, weights
from lib_w2sd.lab.emoji.animation import FRAMES
from lib_w2sd.lab.emoji.captions import Caption
from lib_w2sd.lab.experiments import video
from lib_w2sd.lab.experiments.results import Results


@pytest.fixture(scope="module")
def picture():
    """A real emoji, [3, 64, 64]."""
    return models.decode(models.real(False)[0][:1])[0]


def path(**changes) -> dict:
    """Of one clip: everything stands still but `changes`."""
    still = {"right": 0.0, "down": 0.0, "angle": 0.0, "size": 1.0}
    return {name: torch.full((1, FRAMES), value) for name, value in still.items()} | changes


def blob(down: float, right: float, width: float = 8.0) -> torch.Tensor:
    """A soft dark spot on white, [3, 64, 64]."""
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    away = (y - 32 - down) ** 2 + (x - 32 - right) ** 2
    return (1 - torch.exp(-away / (2 * width**2))).expand(3, -1, -1)


def test_a_path_that_stands_still_shows_the_picture(picture):
    torch.testing.assert_close(animation.moved(picture[None], path())[0], picture.expand(FRAMES, -1, -1, -1))


def test_pixels_go_where_the_path_says(picture):
    step = torch.arange(FRAMES).float()[None]
    frames = animation.moved(picture[None], path(right=step, down=2 * step))[0]
    for i, frame in enumerate(frames):
        inner = frame[:, 2 * i :, i:]
        torch.testing.assert_close(inner, picture[:, : 64 - 2 * i, : 64 - i], atol=1e-4, rtol=0)
        assert (frame[:, : 2 * i - 1] > 1 - 1e-4).all() or i == 0, "what nothing is left to show of is white"


def test_a_quarter_turn_is_one(picture):
    frames = animation.moved(picture[None], path(angle=torch.full((1, FRAMES), 90.0)))[0]
    turned = [frames[0].rot90(k, (1, 2)) for k in (1, 3)]
    assert min((one - picture).abs().max() for one in turned) < 1e-3


def test_half_the_size_has_a_quarter_of_the_ink():
    frames = animation.moved(blob(0, 0)[None], path(size=torch.full((1, FRAMES), 0.5)))[0]
    assert (1 - frames[0]).sum() / (1 - blob(0, 0)).sum() == pytest.approx(0.25, rel=0.02)


def test_every_kind_of_motion_is_drawn_and_none_leaves_the_frame():
    paths = animation.paths(400, torch.Generator().manual_seed(0))
    moves = {name: (value - value.mean(1, keepdim=True)).abs().amax(1) > 1e-6 for name, value in paths.items()}
    shares = {name: moved.float().mean().item() for name, moved in moves.items()}
    kinds = {"right": 1, "down": 2, "angle": 2, "size": 1}  # of five
    assert shares == pytest.approx({name: count / 5 for name, count in kinds.items()}, abs=0.07)
    assert max(paths[name].abs().max() for name in ("right", "down")) <= animation.BOUNCE
    low, high = animation.SMALLEST * (1 - animation.GROW), animation.LARGEST
    assert low <= paths["size"].min() < low + 0.05 and high - 0.05 < paths["size"].max() <= high


def test_consistency_is_vbenchs_formula():
    """The mean of the cosines with the first frame and with the one before, none below zero."""
    a, b = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 2.0])
    clips = torch.stack([torch.stack([a, a, 3 * a]), torch.stack([a, b, b]), torch.stack([a, -a, -a])])
    assert vbench.consistency(clips).tolist() == pytest.approx([1.0, (0 + 0 + 0 + 1) / 4, (0 + 0 + 0 + 1) / 4])


def test_frames_of_one_picture_are_wholly_consistent_and_of_many_are_not(picture):
    pictures = models.decode(models.real(False)[0][:FRAMES])
    clips = torch.stack([picture.expand(FRAMES, -1, -1, -1), pictures])
    for measure in (vbench.subject_consistency, vbench.background_consistency):
        one, many = measure(clips).tolist()
        assert one == pytest.approx(1.0, abs=1e-5) and many < 0.7


@pytest.mark.parametrize("pixels", [0.0, 1.0, 2.0])
def test_the_speed_is_how_far_a_picture_goes(pixels):
    clip = torch.stack([blob(0, pixels * i - 7) for i in range(FRAMES)])[None]
    assert vbench.speed(clip).mean().item() == pytest.approx(pixels, abs=0.3)


def test_a_clip_is_dynamic_when_a_quarter_of_its_frames_moves():
    """VBench's: round(4 * 8 / 16) = 2 frames above 6 * 64 / 256 = 1.5 pixels."""
    speeds = torch.zeros(3, FRAMES - 1)
    speeds[1, 0] = 9
    speeds[2, [1, 5]] = 1.6
    assert vbench.dynamic(speeds, 64).tolist() == [0, 0, 1]
    assert vbench.dynamic(speeds, 128).tolist() == [0, 0, 0]


def test_even_motion_is_smooth_and_a_start_is_not():
    even = torch.stack([blob(0, 1.5 * i - 5) for i in range(FRAMES)])
    wild = torch.stack([blob(6 * (-1) ** (i // 2 + i), 1.5 * i - 5) for i in range(FRAMES)])
    still, moving, jumping = vbench.smoothness(torch.stack([even[:1].expand_as(even), even, wild])).tolist()
    assert still > 0.999 and moving > 0.995 and jumping < moving - 0.01


def test_the_frame_between_lies_between():
    found = vbench.between(blob(0, -3), blob(0, 3))
    blend = (blob(0, -3) + blob(0, 3)) / 2
    right = blob(0, 0)
    assert (found - right).abs().mean() < (blend - right).abs().mean() / 2


def rows(clips: int, model) -> tuple:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(clips * FRAMES, 4, 8, 8, generator=generator)
    return x, torch.full((clips * FRAMES,), 500.0), model.encode(["a lion face"] * clips * FRAMES)


def test_a_new_module_changes_nothing():
    model = models.load("weak")
    given = rows(2, model)
    with torch.inference_mode():
        found, plain = motion.Moving(model.unet)(*given)[0], model.unet(*given, return_dict=False)[0]
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-4)


def test_the_image_models_own_weights_stay_and_no_more_ships():
    model = models.load("strong")
    own = {name.removeprefix("unet.") for name in motion.Moving(model.unet).state_dict()}
    trained = {name.removeprefix("unet.") for name in weights.read(weights.FOLDER / motion.FILE)[0]}
    assert all("motion_modules." in name for name in trained) and trained <= own
    assert (weights.FOLDER / motion.FILE).stat().st_size < 1e6


def test_frames_see_those_of_their_own_clip_alone():
    model = motion.moving(models.load("strong"))
    x, t, cond = rows(2, model)
    other = x.clone()
    other[FRAMES - 1] = 0
    with torch.inference_mode():
        change = (model.unet(x, t, cond)[0] - model.unet(other, t, cond)[0]).abs().amax((1, 2, 3))
    assert (change[:FRAMES] > 1e-3).all() and (change[FRAMES:] < 1e-4).all()


def test_the_frames_of_a_clip_have_one_noise_level_in_training():
    seen = []

    def model(x, t, cond, return_dict):
        seen.append(t)
        return (torch.zeros_like(x),)

    latents = torch.randn(3 * FRAMES, 4, 8, 8)
    loss = unet.loss_of(model, latents, None, torch.Generator().manual_seed(0), frames=FRAMES)
    levels = seen[0].unflatten(0, (3, FRAMES))
    assert loss.shape == (3 * FRAMES,) and (levels == levels[:, :1]).all() and len(levels.unique()) == 3


def test_batches_are_whole_clips():
    assert scores.BATCH % FRAMES == 0


def test_the_module_has_all_frames_agree_on_what_the_prompt_leaves_open():
    """A heart and a balloon of any colour: without the module each frame has its own."""
    captions = [Caption("heart", "shape"), Caption("balloon", "painted")]
    way = video.plain(video.GROUND, 1.0)
    alone = video.replace(way, key=video.STILL)
    clips = [video.drawn(_short(each), captions)[0].unflatten(0, (2, FRAMES)) for each in (way, alone)]
    moving, apart = (vbench.subject_consistency(each) for each in clips)
    assert (moving > apart + 0.1).all()


def test_matched_with_equal_sides_is_the_plain_clip():
    captions = video.prompts()[:1]
    same = video.reflected(video.GROUND, 3.0, "itself", video.asked("itself", 3.0, "matched", weak_cfg=3.0))
    moved = video.both("matched")
    plain, same, moved = (video.drawn(_short(way), captions)[0] for way in (video.STRONG, same, moved))
    assert torch.equal(plain, same) and not torch.equal(plain, moved)


def _short(way):
    return video.replace(way, asks={**way.asks, "steps": 6})


def test_the_sides_of_the_gap_are_the_papers():
    """Appendix D.1: another checkpoint, and CFG 3 against CFG 1."""
    way = video.both("paper")
    settings = way.asks["settings"]
    assert (way.asks["model"], way.asks["weak"], way.asks["cfg"]) == ("strong", "weak", 3.0)
    assert (settings.strong_cfg, settings.weak_cfg) == (None, 1.0)


def test_the_report_has_the_papers_rows_beside_ours(tmp_path, monkeypatch):
    def invented(way):
        rng = random.Random(way.key)
        found = {name: [rng.random() for _ in range(4)] for name in video.MEASURES}
        return {**found, "all": 30 * rng.random(), "rows": 40}

    monkeypatch.setattr(video, "measure", invented)
    monkeypatch.setattr(video, "sheets", lambda out: None)
    text = video.section(tmp_path, Results(tmp_path / "results.json", None))
    assert "| paper: W2SD | 97.1 % | 97.9 % | 96.9 % | 8.0 % |" in text and "nan" not in text
    assert all(f"| {way.told} |" in text for way in video.ways())
    assert len({way.key for way in video.ways()}) == len(video.ways())
    assert (tmp_path / "video-motion.png").stat().st_size > 5000


def test_what_is_not_measured_yet_is_left_out(tmp_path, monkeypatch):
    one = {**{name: [0.5, 0.6] for name in video.MEASURES}, "all": 9.0, "rows": 40}
    kept = {way.key: one for way in (video.STRONG, video.WEAK, video.both("matched"))}
    (tmp_path / "video.json").write_text(json.dumps(kept))
    monkeypatch.setattr(video, "sheets", lambda out: None)
    text = video.section(tmp_path, Results(tmp_path / "results.json", None, minutes=0))
    assert "the weak side alone" in text and "checkpoint gap alone" not in text


def test_the_pictures_of_the_report_move(tmp_path, monkeypatch):
    drawn = []

    def noisy(way, captions):
        drawn.append(way.key)
        frames = len(captions) * FRAMES
        return torch.rand(frames, 3, 64, 64), captions, 40.0

    monkeypatch.setattr(video, "drawn", noisy)
    video.sheets(tmp_path)
    with Image.open(tmp_path / "video.gif") as moving, Image.open(tmp_path / "video.png") as still:
        assert moving.n_frames == FRAMES and still.width >= FRAMES * 64
    assert len(drawn) == len(video.SHOWN)
