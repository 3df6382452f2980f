"""The lab's trained models, their scores and their training script, at small size."""

import gzip
import struct
from pathlib import Path

import pytest
import torch

pytest.importorskip("k_diffusion")
pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")

from safetensors.torch import load_file

from lib_w2sd.lab import __main__
from lib_w2sd.lab.experiments import (
    balance,
    cells,
    cosine,
    grid,
    inversion,
    inversion_error,
    knobs,
    retraining,
    tables,
    toy,
)
from lib_w2sd.lab.experiments.statistics import Interval
from lib_w2sd.lab.models import data, network, prompts, scores, training, weights
from lib_w2sd.lab.models import drawing as models
from lib_w2sd.lab.models.drawing import GAPS, Gap, Network, draw, noise, reflected
from lib_w2sd.page.settings import Settings

NAMES = ("weak", "strong", "ideal", "biased-strong", "biased-weak", "moe", "striped", "classifier")
TEXTS = prompts.every_prompt()


@pytest.mark.parametrize("name", NAMES)
def test_the_weights_ship_in_half_precision_under_5_mb(name):
    path = weights.FOLDER / f"{name}.safetensors"
    assert path.stat().st_size < 5_000_000
    parts = {k: v for k, v in load_file(path).items() if not k.startswith("statistics.")}
    assert {v.dtype for v in parts.values() if v.is_floating_point()} == {torch.float16}
    assert weights.about(name)
    assert weights.load(name) is not None


def test_prompts_are_read_and_unknown_words_refused():
    assert prompts.labels_of("bright Bag") == (8, 1)
    assert prompts.labels_of("dark") == (network.NO_CLASS, 0)
    assert prompts.labels_of("") == (network.NO_CLASS, network.NO_ATTRIBUTE)
    with pytest.raises(ValueError, match="'cat'"):
        prompts.labels_of("bright cat")
    assert len({prompts.labels_of(text) for text in TEXTS}) == 20


def test_noise_comes_in_pairs_that_cancel():
    start = noise(3, 40)
    assert torch.equal(start[:20], -start[20:])
    assert not torch.equal(start[:20], noise(4, 40)[:20])


def test_the_lora_is_kohyas_format_and_does_what_its_file_says():
    tensors = load_file(weights.FOLDER / "striped.safetensors")
    unet = weights.load("strong")
    kohya = {
        "lora_unet_" + name.replace(".", "_"): module
        for name, module in unet.named_modules()
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d))
    }
    assert {key.split(".")[0] for key in tensors} == set(kohya)
    name, layer = "lora_unet_middle_conv1", kohya["lora_unet_middle_conv1"]
    up, down = (tensors[f"{name}.lora_{part}.weight"].float() for part in ("up", "down"))
    merged = (up.flatten(1) @ down.flatten(1)).view_as(layer.weight) * (tensors[f"{name}.alpha"].float() / len(down))
    x = torch.randn(2, layer.in_channels, 4, 4)
    plain = layer(x)
    with weights.load("striped").on(unet, -1.5):
        with_lora = layer(x)
    expected = plain - 1.5 * torch.nn.functional.conv2d(x, merged, padding=1)
    torch.testing.assert_close(with_lora, expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(layer(x), plain)


def test_a_merged_lora_is_the_lora_beside_the_layers():
    x, sigma, labels = noise(0, 4), torch.full((4,), 0.7), prompts.labels(TEXTS[:4])
    denoiser = network.Denoiser(weights.load("strong"))
    plain = denoiser(x, sigma, labels)
    with weights.load("striped").on(denoiser.network, 0.8):
        beside = denoiser(x, sigma, labels)
    torch.testing.assert_close(Network("strong", lora_scale=0.8)(x, sigma, labels), beside, rtol=1e-3, atol=1e-4)
    assert (beside - plain).abs().max() > 0.1


def test_the_mixture_routes_two_of_eight_and_the_weak_side_the_two_least_likely():
    torch.manual_seed(0)
    experts = network.MoEDiT().blocks[0].experts
    assert (experts.count, experts.routed) == (8, 2)
    tokens = torch.randn(1, 5, experts.router.in_features)
    order = experts.router(tokens[0]).argsort(dim=1, descending=True)

    def by_hand(which):
        likely = experts.router(tokens[0]).softmax(1).gather(1, which)
        outputs = torch.stack(
            [torch.nn.functional.gelu(tokens[0] @ experts.up[i]) @ experts.down[i] for i in range(8)], dim=1
        )
        chosen = outputs.gather(1, which[:, :, None].expand(-1, -1, outputs.shape[2]))
        return experts.shared(tokens[0]) + (chosen * (likely / likely.sum(1, keepdim=True))[:, :, None]).sum(1)

    torch.testing.assert_close(experts(tokens)[0], by_hand(order[:, :2]), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(experts(tokens, least=True)[0], by_hand(order[:, -2:]), rtol=1e-4, atol=1e-5)


def test_the_preconditioned_network_is_the_identity_at_no_noise():
    x = torch.rand(2, 1, 16, 16) * 2 - 1
    denoised = Network("strong")(x, torch.full((2,), 1e-4), prompts.labels(["bag", "bag"]))
    torch.testing.assert_close(denoised, x, rtol=0, atol=2e-3)


def test_the_frechet_distance_of_a_shift_is_its_square(monkeypatch):
    features = torch.randn(400, 64, dtype=torch.float64)
    monkeypatch.setattr(scores, "_real", lambda style: (features.mean(0), features.T.cov()))
    assert scores.frechet(features) == pytest.approx(0.0, abs=1e-6)
    assert scores.frechet(features + 0.5) == pytest.approx(64 * 0.25, rel=1e-6)
    # Twice the deviation: tr(C + 4C - 2 * 2C) = tr(C).
    wide = features.mean(0) + 2 * (features - features.mean(0))
    assert scores.frechet(wide) == pytest.approx(float(features.T.cov().trace()), rel=1e-6)


def test_the_jackknife_of_a_mean_is_the_seeds_own_means():
    values = torch.tensor([1.0, 4.0, 2.0, 7.0])
    assert scores._jackknife(lambda left: float(values[list(left)].mean()), 4) == pytest.approx(values.tolist())


@pytest.mark.parametrize("inversion, rows", [("paper", 3), ("matched", 2)])
def test_a_guidance_gap_costs_what_it_says(inversion, rows):
    gap = Gap(Network("strong"), cfg=2.0, settings=GAPS["guidance"].settings)
    run = draw(gap, TEXTS, noise(0, 20), 4, reflected(gap, 2, inversion=inversion))
    assert run.rows == 20 * (4 * 2 + 2 * rows) and run.x.isfinite().all()
    assert [r["step"] for r in run.trace.reflections] == [0, 1]


def test_strong_is_better_than_weak_and_both_hear_the_prompt():
    found = {}
    for name in ("weak", "strong"):
        run = draw(Gap(Network(name)), TEXTS * 4, noise(0, 80), 10)
        found[name] = scores.score(run.x, prompts.labels(TEXTS * 4), 2, 10.0)
    assert found["strong"].interval("distance").mean < found["weak"].interval("distance").mean
    assert found["strong"].interval("accuracy").mean > 0.7 and found["strong"].interval("attribute").mean > 0.75


def test_cells_are_measured_once(tmp_path):
    measured = []
    first = cells.Cells(tmp_path / "r.json", seeds=2, each=2, progress=measured.append)
    kept = first.get("checkpoint", 3)
    again = cells.Cells(tmp_path / "r.json", seeds=2, each=2, progress=measured.append).get("checkpoint", 3)
    assert len(measured) == 1 and again.rows == kept.rows == 3
    assert again.values["distance"] == pytest.approx(kept.values["distance"], abs=1e-4)


def test_what_is_called_w2sd_inverts_as_the_paper_does():
    """Whatever the setting's default is; other inversions are named."""
    named = [(name, settings.inversion) for name, (_, settings) in toy.METHODS.items() if settings]
    assert len(named) == 2
    assert all(inversion == ("matched" if "matched" in name else "paper") for name, inversion in named)
    assert {gap.settings.inversion for gap in GAPS.values()} == {"paper"}


def test_every_experiment_on_the_trained_models_writes_its_section(tmp_path, monkeypatch):
    """All of them, with a denoiser that costs nothing: only the plumbing is looked at here."""
    monkeypatch.setattr(models.Network, "__call__", lambda self, x, sigma, cond: x / (1 + sigma[:, None, None, None]))
    few = cells.Cells(None, seeds=2, each=2)
    for section, title in (
        (tables.section, "Tables 2 to 7"),
        (knobs.gap_size_section, "Figure 12"),
        (knobs.strength_section, "Strength"),
        (knobs.equal_time_section, "Figure 14"),
        (knobs.share_section, "Figures 19 and 20"),
        (inversion_error.section, "Table 14"),
        (cosine.section, "Figure 26"),
        (balance.section, "Figures 7 and 18"),
    ):
        text = section(tmp_path, few)
        assert title in text.splitlines()[0] and text.count("|") > 20, title
    assert "(grid.png)" in grid.section(tmp_path)
    for name in ("gap-size", "grid", "strength", "equal-time", "share", "cosine", "balance"):
        assert (tmp_path / f"{name}.png").exists()


BETTER, WORSE, NEITHER = Interval(-2.0, 1.0), Interval(2.0, 1.0), Interval(2.0, 3.0)


@pytest.mark.parametrize(
    "gains, said, counts",
    [
        ([BETTER, NEITHER], "yes", "1 / 0 / 1"),
        ([BETTER, WORSE], "in part", "1 / 1 / 0"),
        ([WORSE, NEITHER], "no", "0 / 1 / 1"),
        ([NEITHER], "no", "0 / 0 / 1"),
    ],
)
def test_a_claim_is_held_when_something_is_better_and_nothing_worse(gains, said, counts):
    assert scores.held([(gain, "distance") for gain in gains]) == said
    assert scores.counted([(gain, "distance") for gain in gains]) == counts
    turned = [(Interval(-gain.mean, gain.half), "accuracy") for gain in gains]
    assert scores.held(turned) == said


def found_with(distances, T=20):
    """Cells of one gap; the strong model's distance is 10, the others' as given."""
    jitter = torch.linspace(-0.1, 0.1, 8)

    def one(value, rows):
        return scores.Scores({"distance": (value + jitter * value).tolist(), "accuracy": [0.5] * 8}, rows)

    cost = {"paper": 58, "matched": 58, "fixed-point": 96}
    found = {("checkpoint", T, None, None): one(10.0, 20)}
    for kind, value in distances.items():
        found |= {("checkpoint", T, told, kind): one(value, cost[kind]) for told in ("T/2", "T-1")}
    return found


@pytest.mark.parametrize(
    "distances, best",
    [
        ({"paper": 20.0, "matched": 9.0, "fixed-point": 5.0}, "matched"),  # of two that do no harm the cheaper
        ({"paper": 20.0, "matched": 15.0, "fixed-point": 9.0}, "fixed-point"),  # the one that does no harm
        ({"paper": 5.0, "matched": 15.0, "fixed-point": 15.0}, "paper"),
    ],
)
def test_the_verdict_is_first_no_harm_and_then_the_least_cost(distances, best):
    other_steps = found_with({"paper": 1.0, "matched": 99.0, "fixed-point": 99.0}, T=8)
    said, why = inversion.verdict(found_with(distances) | other_steps)
    assert said == best and f"The default is `{best}`" in why and "At T = 20 (" in why


def test_the_signs_of_a_gap_are_told_apart():
    better, same, worse = Interval(-2.0, 1.0), Interval(0.0, 0.0), Interval(2.0, 1.0)
    gains = [(-1.5, better), (0.0, better), (0.8, same), (1.5, worse)]
    assert knobs._signs(gains, "weak LoRA scale", "distance") == ["2 / 0 / 0", "0 / 0 / 1", "0 / 1 / 0", "yes"]
    assert knobs._signs([*gains[:3], (1.5, better)], "weak LoRA scale", "distance")[-1] == "no"


def test_the_inversion_experiment_writes_its_table_and_figure(tmp_path):
    few = cells.Cells(None, seeds=2, each=2)
    text = inversion.section(tmp_path, few, {"checkpoint": (4,), "prompt": (4,)})
    assert (tmp_path / "inversion.png").stat().st_size > 20_000
    assert "| 4 | T-1 | fixed-point |" in text and "nan" not in text


def test_a_report_from_kept_scores_measures_nothing(tmp_path, monkeypatch):
    kept = {name: __main__.EXPERIMENTS[name] for name in ("strength", "inversion")}
    monkeypatch.setattr(__main__, "EXPERIMENTS", kept)
    __main__.main(["paper", "--measured", "--small", "--out", str(tmp_path)])
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert (
        text.count("Not measured yet") == 2
        and "python -m lib_w2sd.lab strength" in text
        and "| strong | 2100 |" in text
    )


def fake_data(folder, count=300):
    generator = torch.Generator().manual_seed(0)
    for part in ("train", "t10k"):
        pictures = torch.randint(0, 256, (count, 28, 28), generator=generator, dtype=torch.uint8)
        labels = (torch.arange(count) % 10).to(torch.uint8)
        with gzip.open(folder / f"{part}-images-idx3-ubyte.gz", "wb") as f:
            f.write(struct.pack(">IIII", 2051, count, 28, 28) + pictures.numpy().tobytes())
        with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz", "wb") as f:
            f.write(struct.pack(">II", 2049, count) + labels.numpy().tobytes())


def test_the_training_script_makes_every_file_again(tmp_path):
    fake_data(tmp_path)
    out = tmp_path / "weights"
    assert training.main(["--data", str(tmp_path), "--out", str(out), "--shorter", "700"]) == 0
    assert {p.stem for p in out.iterdir()} == set(NAMES)
    x, labels = data.load("train", str(tmp_path))
    assert x.shape == (300, 1, 16, 16) and float(x.min()) >= -1 and float(x.max()) <= 1
    assert 0.4 < float(labels[:, 1].float().mean()) < 0.6
    strong = weights.load(weights.beside(out, "strong"))
    denoised = network.Denoiser(strong)(x[:2], torch.tensor([1.0, 2.0]), labels[:2])
    assert denoised.shape == (2, 1, 16, 16)


def test_hardly_trained_models_do_not_reproduce_the_shipped_scores(tmp_path, capsys):
    fake_data(tmp_path)
    check = ["lora", "--data", str(tmp_path), "--shorter", "400", "--check", "--report", str(tmp_path)]
    assert training.main(check) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("| striped | Fr"))
    agrees, apart = line.strip("| ").split(" | ")[-2:]
    assert agrees == "no" and float(apart) > 0
    assert "| weak |  |  | not trained again |  |  |" in retraining.section(tmp_path)


def test_the_shipped_weights_reproduce_themselves(tmp_path):
    assert retraining.check("lora", weights.FOLDER, tmp_path)
    assert "| yes | 0 |" in retraining.section(tmp_path)


def test_missing_data_says_what_to_do(tmp_path):
    with pytest.raises(FileNotFoundError, match="dataset-fashion-mnist"):
        data.load("train", str(tmp_path))


def test_the_default_inversion_is_the_verdict_of_the_scores_kept():
    kept = cells.Cells(Path(__file__).parents[2] / "docs" / "paper" / "results.json", measured=True)
    assert inversion.verdict(inversion.measure(kept))[0] == Settings().inversion
