"""The ways to use the gap between a strong and a weak model, by their names in the settings.

paper, matched, fixed-point  reflection, with one of three inversions (reflection.py)
previous-gap                 reflection with the gap of the step before, found where the sampler asked anyway: rows that
                             its own call holds are not asked for again. (Z^2-Sampling, arXiv 2604.23536, has the same
                             aim: a cached surrogate of the zigzag.)
auto-guidance                no reflection: the model's answer, extrapolated (E.5, eq. 36 to 38; arXiv 2406.02507)
re-sampling, advanced-re-sampling   the way back with new noise (resampling.py)

All but auto-guidance move the latent before the step. To first order the move (B / A) * gap, and the answer's shift by
the same gap, give the same next latent, A x + B (d + gap): so `strength` means the same in both.
"""

from .reflection import INVERSIONS

PREVIOUS_GAP, AUTO_GUIDANCE = "previous-gap", "auto-guidance"
RE_SAMPLING, ADVANCED_RE_SAMPLING = "re-sampling", "advanced-re-sampling"
NOISY = RE_SAMPLING, ADVANCED_RE_SAMPLING
# Where both sides are asked at the place of the sampler's own call.
ALONG = PREVIOUS_GAP, AUTO_GUIDANCE
# In the order of what they are recommended for: the last three for nothing (docs/paper/buys.md).
WAYS = tuple(dict.fromkeys((*ALONG, "matched", *INVERSIONS, *NOISY)))
