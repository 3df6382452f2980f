"""The lab: closed forms against autograd, costs against counting, the demo end to end at small size."""

import functools
from dataclasses import replace

import pytest
import torch

pytest.importorskip("k_diffusion")
pytest.importorskip("matplotlib")
pytest.importorskip("scipy")

from lib_w2sd.lab.__main__ import main
from lib_w2sd.lab.experiments import mixtures, theory, toy
from lib_w2sd.lab.experiments.statistics import interval
from lib_w2sd.lab.sampling import SAMPLERS, karras, sample

from ..reflected import reflected

CASES = [mixtures.one_dimension(torch.float64), mixtures.two_dimensions(torch.float64)]
ON = reflected(lambda_steps=-1, strong_cfg=1.0, weak_cfg=1.0)


def noise(case, count=64):
    size = (count, case.truth.means.shape[1])
    return torch.randn(size, generator=torch.Generator().manual_seed(0), dtype=case.truth.means.dtype)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
@pytest.mark.parametrize("sigma", [0.0, 0.3, 4.0, 30.0])
def test_the_score_is_the_gradient_of_the_log_density(case, sigma):
    x = (noise(case) * (1 + sigma)).requires_grad_(True)
    (gradient,) = torch.autograd.grad(case.strong.log_density(x, sigma).sum(), x)
    torch.testing.assert_close(case.strong.score(x, sigma), gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_denoiser_is_the_posterior_mean(case):
    """D(x; sigma) = E[y | x], here by integrating over draws of the mixture itself."""
    draws = case.truth.sample(200_000, torch.Generator().manual_seed(1))
    x, sigma = noise(case, 5) * 3, 1.5
    weights = (-(x[:, None] - draws).square().sum(2) / (2 * sigma**2)).softmax(1)
    torch.testing.assert_close(case.truth(x, torch.tensor(sigma)), weights @ draws, rtol=0.03, atol=0.03)


def test_the_density_integrates_to_one():
    truth = CASES[0].truth
    x = torch.linspace(-12, 12, 24001, dtype=torch.float64)[:, None]
    assert float(truth.log_density(x, 0.7).exp().sum()) * 0.001 == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_the_distance_sees_a_shift_and_hardly_a_fair_sample(case):
    draws = case.truth.sample(20_000, torch.Generator().manual_seed(2))
    assert case.truth.distance(draws) < 0.1
    # Sliced over all directions, a shift by 1 along one axis moves a projection by |cos| on average.
    expected = 1.0 if draws.shape[1] == 1 else 2 / torch.pi
    far = draws.clone()
    far[:, 0] += 40
    assert case.truth.distance(far) == pytest.approx(40 * expected, rel=0.02)


@pytest.mark.parametrize("inversion, reflected_rows", [("paper", 2), ("matched", 2), ("fixed-point", 4)])
@pytest.mark.parametrize("sampler, calls", [("Euler", 6), ("Heun", 11), ("DPM++ 2M", 6), ("Euler a", 6)])
def test_two_models_cost_what_the_run_says(sampler, calls, inversion, reflected_rows):
    case, asked = CASES[0], {"strong": 0, "weak": 0}

    def counted(name):
        def network(x, sigma, cond):
            asked[name] += len(x)
            return getattr(case, name)(x, sigma)

        return network

    settings = replace(ON, lambda_steps=3, inversion=inversion)
    run = sample(counted("strong"), noise(case, 10), karras(6, 0.02, 30.0), settings, counted("weak"), sampler=sampler)
    assert run.rows == asked["strong"] + asked["weak"] == 10 * (calls + 3 * reflected_rows)
    assert asked["weak"] == 10 * 3 * (reflected_rows - 1)
    assert run.rows == run.trace.rows


@pytest.mark.parametrize("inversion, rows", [("paper", 3), ("matched", 2), ("fixed-point", 4)])
def test_a_guidance_gap_asks_only_for_the_rows_that_count(inversion, rows):
    """Weak CFG 0 is one row; at the latent itself it is one that the strong side has just evaluated."""
    case, asked = CASES[0], []

    def network(x, sigma, cond):
        asked.append(len(x))
        return torch.where(cond[:, None] > 0, case.strong(x, sigma), case.weak(x, sigma))

    cond, uncond = torch.ones(4), torch.zeros(4)
    settings = reflected(lambda_steps=1, inversion=inversion, weak_cfg=0.0)
    run = sample(network, noise(case, 4), karras(2, 0.02, 30.0), settings, cond=cond, uncond=uncond, cond_scale=3.0)
    assert run.rows == sum(asked) == 4 * (2 * 2 + rows)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_model_against_itself_changes_nothing(sampler):
    case = CASES[0]
    torch.manual_seed(0)
    plain = sample(case.strong, noise(case), karras(8, 0.02, 30.0), sampler=sampler)
    torch.manual_seed(0)
    matched = replace(ON, inversion="matched")
    same = sample(case.strong, noise(case), karras(8, 0.02, 30.0), matched, case.strong, sampler=sampler)
    assert torch.equal(plain.x, same.x)


def test_w2sd_brings_the_missed_mode_back():
    case = mixtures.one_dimension()
    mass = {name: float((toy.run(case, 20, name, 4000, 1).x < 0).float().mean()) for name in ("weak", "strong", "W2SD")}
    assert mass["weak"] < mass["strong"] - 0.1 < mass["W2SD"] - 0.2


def test_the_interval_covers_the_mean():
    draws = torch.randn(2000, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    covered = sum(abs(i.mean) <= i.half for i in map(interval, draws))
    assert 0.93 < covered / len(draws) < 0.97


def test_matched_is_equation_5_and_papers_error_shrinks_with_the_step():
    found = theory.theorem_1(CASES[0], steps=(40, 80, 160), count=500)
    assert max(found["matched"]) < 1e-12
    first, second, third = found["paper"]
    assert 0.4 < second / first < 0.6 and 0.4 < third / second < 0.6


def test_theorem_2s_bound_and_theorem_3s_square_hold():
    for row in theory.theorems_2_and_3(CASES[1], epsilons=(0.1, 0.9), count=1000):
        assert 0.5 < row["of the bound"] <= 1.0 + 1e-9
        assert row["fisher"] <= row["greatest share"] ** 2
        # One dimension more than the modes' plane would leave no freedom; here the weak model truly varies.
        assert row["mean share"] < row["greatest share"]


def test_the_theory_section_says_what_held(tmp_path):
    text = theory.section(tmp_path, count=300, repetitions=2)
    assert "| Theorem 1, eq. (5) |" in text and (tmp_path / "theory.png").exists()


def test_the_mixtures_write_their_files_and_say_where(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(toy, "section", functools.partial(toy.section, count=200, repetitions=2))
    main(["mixtures", "--out", str(tmp_path)])
    assert (tmp_path / "mixtures.png").stat().st_size > 50_000
    report = (tmp_path / "mixtures.md").read_text(encoding="utf-8")
    assert "| 1-D | 20 | W2SD |" in report and "nan" not in report
    assert capsys.readouterr().out.strip().splitlines()[-1].endswith("open mixtures.md and the PNG files.")


def test_the_demo_writes_its_files_and_says_where(tmp_path, capsys):
    main(["demo", "--small", "--out", str(tmp_path)])
    for name in ("grid", "trace", "mixtures"):
        assert (tmp_path / f"{name}.png").stat().st_size > 15_000, name
    report = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert "| plain | 40 |" in report and "| W2SD, guidance gap, previous-gap | 40 |" in report
    assert "| 1-D | 20 | W2SD |" in report and "nan" not in report
    assert capsys.readouterr().out.strip().splitlines()[-1].endswith("open README.md and the PNG files.")
