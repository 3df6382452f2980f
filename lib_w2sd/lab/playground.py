"""`python -m lib_w2sd.lab playground`: the WebUI's accordion over the emoji model, plain and W2SD side by side."""

import io
import math
from dataclasses import replace

import gradio as gr
import torch
from PIL import Image

from ..errors import W2SDError
from ..gaps import GAPS
from ..gaps.lora_scales import tags, without_tags
from ..gaps.prompt import fill_in, has_prompt_gap
from ..page import accordion as ui
from ..page.settings import Settings, parse
from .emoji import draw, grid, judge, lora, models
from .figures import model_plots
from .sampling import SAMPLERS

WEAK = "emoji-weak"  # the weak checkpoint, by the name that `make checkpoint` gives it
REWARD = "emoji-judge"
SCALE = 2  # screen pixels a pixel
SHOWN = [gap for gap in GAPS if gap.name != "distilled"]


class CheckboxAccordion:
    """Stands for the WebUI's InputAccordion: a checkbox above an accordion."""

    def __init__(self, value: bool, label: str, elem_id: str):
        self.checkbox = gr.Checkbox(value, label=label, elem_id=f"{elem_id}-checkbox")
        self.accordion = gr.Accordion("Settings", open=True, elem_id=elem_id)

    def __enter__(self):
        self.accordion.__enter__()
        return self.checkbox

    def __exit__(self, *exception):
        return self.accordion.__exit__(*exception)


def with_loras(name: str, scales: dict):
    """The model `name` with LoRAs at these scales. Raises ValueError for one that is not there."""
    model = models.load(name)
    for lora_name, scale in scales.items():
        if lora_name not in lora.NAMES:
            raise ValueError(f"There is no LoRA {lora_name!r} here, only {' and '.join(lora.NAMES)}.")
        model = lora.merged(model, lora_name, scale) if scale else model
    return model


def sides(settings: Settings, prompt: str) -> tuple:
    """The strong and the weak model as the settings have them; None where they are one and the same."""
    own = {tag.name: tag.unet for tag in tags(prompt)}
    strong = with_loras("strong", own)
    named = {tag.name: tag.unet for tag in tags(settings.weak_prompt) + tags(settings.weak_loras)}
    moved = {name: scale + settings.weak_lora_offset for name, scale in own.items()}
    on_weak = {**({} if settings.weak_checkpoint and not settings.weak_checkpoint_loras else moved), **named}
    if settings.weak_checkpoint:
        if settings.weak_checkpoint != WEAK:
            raise ValueError(f"There is no checkpoint {settings.weak_checkpoint!r} here, only {WEAK}.")
        return strong, with_loras("weak", on_weak)
    return strong, None if on_weak == own else with_loras("strong", on_weak)


def generate(prompt, negative_prompt, count, steps, sampler, cfg, seed, *args):
    """What the page shows: plain, W2SD, their difference, the trace's plot, and a table of scores and cost."""
    try:
        settings, count = parse(list(args)), int(count)
        text = without_tags(prompt)
        texts, seeds = [text] * count, range(int(seed), int(seed) + count)
        strong, weak = sides(settings, prompt)
        weak_text = None
        if has_prompt_gap(settings)[0]:
            weak_text = fill_in(without_tags(settings.weak_prompt), texts, [negative_prompt] * count)
        ask = {"model": strong, "cfg": float(cfg), "steps": int(steps), "sampler": sampler, "negative": negative_prompt}
        runs = {}
        for name, used in (("plain", replace(settings, enabled=False)), ("W2SD", settings)):
            torch.manual_seed(int(seed))
            runs[name] = draw.draw(texts, seeds, used, weak=weak, weak_texts=weak_text, reward=judge.reward, **ask)
    except (W2SDError, ValueError) as error:
        raise gr.Error(str(error)) from error
    plain, reflected = runs["plain"].pictures, runs["W2SD"].pictures
    return (
        *map(sheet, (plain, reflected, (reflected - plain).abs())),
        _plot(runs["W2SD"].trace),
        _scores(runs, texts),
    )


def sheet(pictures: torch.Tensor) -> Image.Image:
    """[B, 3, H, W] from 0 to 1 in rows and columns, enlarged."""
    columns = math.ceil(len(pictures) ** 0.5)
    filler = torch.ones(-len(pictures) % columns, *pictures.shape[1:])
    rows = torch.cat([pictures, filler]).unflatten(0, (-1, columns))
    values = rows.permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    image = Image.fromarray((values.clamp(0, 1) * 255).round().byte().numpy())
    return image.resize((image.width * SCALE, image.height * SCALE), Image.BICUBIC)


def _plot(trace):
    if trace is None:
        return None
    page = io.BytesIO()
    model_plots.trace({"W2SD": trace.as_dict()}, page)
    return Image.open(page)


def _scores(runs: dict, texts: list) -> str:
    lines = ["| | reward (picture and prompt) | network rows a picture |", "|---|---|---|"]
    for name, run in runs.items():
        reward = judge.reward(run.pictures, texts).mean().item()
        lines.append(f"| {name} | {reward:.3f} | {run.rows / len(texts):g} |")
    return "\n".join(lines)


def page() -> gr.Blocks:
    with gr.Blocks(title="W2SD playground") as blocks:
        gr.Markdown(
            "# W2SD playground\nA small text-to-image model that was trained on emoji. It knows prompts such as "
            f"{', '.join(f'*{prompt}*' for prompt in grid.PROMPTS[1:8])}; LoRAs: "
            f"{', '.join(f'`<lora:{name}:0.8>`' for name in lora.NAMES)}."
        )
        with gr.Row():
            with gr.Column(scale=2):
                prompt = gr.Textbox(grid.PROMPTS[0], label="Prompt", elem_id="prompt")
                negative = gr.Textbox("", label="Negative prompt", elem_id="negative_prompt")
                with gr.Row():
                    count = gr.Slider(1, 36, 9, step=1, label="Pictures", elem_id="count")
                    steps = gr.Slider(2, 50, draw.STEPS, step=1, label="Steps", elem_id="steps")
                with gr.Row():
                    sampler = gr.Dropdown(list(SAMPLERS), value=draw.SAMPLER, label="Sampler", elem_id="sampler")
                    cfg = gr.Slider(1, 12, draw.CFG, step=0.1, label="CFG scale", elem_id="cfg")
                    seed = gr.Number(1, label="Seed", precision=0, elem_id="seed")
                lists = {"weak_checkpoint": ui.Listed(lambda: [WEAK]), "reward": ui.Listed(lambda: [REWARD])}
                controls = ui.build(CheckboxAccordion, "txt2img", lists, gaps=SHOWN, one_pass=True)
                button = gr.Button("Generate", variant="primary", elem_id="generate")
            with gr.Column(scale=3):
                with gr.Row():
                    shown = [
                        gr.Image(label=label, type="pil", elem_id=elem_id, interactive=False)
                        for label, elem_id in (("plain", "strong"), ("W2SD", "w2sd"), ("difference", "difference"))
                    ]
                table = gr.Markdown(elem_id="scores")
                plot = gr.Image(label="trace", type="pil", elem_id="trace", interactive=False)
        given = [prompt, negative, count, steps, sampler, cfg, seed, *controls]
        button.click(generate, given, [*shown, plot, table], api_name="generate")
    return blocks


def serve(port: int) -> None:
    page().launch(server_name="127.0.0.1", server_port=port)
