"""`python -m lib_w2sd.lab playground`: the WebUI's accordion over the lab's small model, strong and W2SD side by side."""

import io
import math
from dataclasses import replace

import gradio as gr
import torch
from PIL import Image

from ..errors import W2SDError
from ..gaps.prompt import fill_in, has_prompt_gap
from ..page import accordion as ui
from ..page.settings import parse
from .figures import model_plots
from .models import prompts, scores
from .models.drawing import SIGMA_MAX, SIGMA_MIN, Network, noise
from .models.sampling import SAMPLERS, karras, sample

WEAK_MODELS = {
    "the strong model itself": None,
    "a fifth of its training": Network("weak"),
    "the strong model with the striped LoRA": Network("strong", lora_scale=1.0),
}
SCALE = 8  # screen pixels a pixel


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


def picture(values) -> Image.Image:
    """Values from 0 to 1 [H, W] as a picture, enlarged."""
    image = Image.fromarray((values.clamp(0, 1) * 255).byte().numpy())
    return image.resize((image.width * SCALE, image.height * SCALE), Image.NEAREST)


def generate(prompt, negative_prompt, count, steps, sampler, cfg, seed, weak_model, *args):
    """What the page shows: strong, W2SD, their difference, the trace's plot, and a table of scores and cost."""
    try:
        settings = parse(list(args))
        texts, negatives, count, steps = [prompt] * int(count), [negative_prompt] * int(count), int(count), int(steps)
        cond, uncond = prompts.labels(texts), prompts.labels(negatives)
        weak_text, weak_negative = has_prompt_gap(settings)
        weak = {
            "weak": WEAK_MODELS[weak_model],
            "weak_cond": prompts.labels(fill_in(settings.weak_prompt, texts, negatives)) if weak_text else None,
            "weak_uncond": (
                prompts.labels(fill_in(settings.weak_negative_prompt, texts, negatives)) if weak_negative else None
            ),
        }
        start, sigmas = noise(int(seed), count + count % 2)[:count], karras(steps, SIGMA_MIN, SIGMA_MAX)
        ask = {"cond": cond, "uncond": uncond, "cond_scale": float(cfg), "sampler": sampler}
        runs = {}
        for name, used in (("strong", replace(settings, enabled=False)), ("W2SD", settings)):
            torch.manual_seed(int(seed))
            runs[name] = sample(Network("strong"), start, sigmas, used, **ask, **weak)
    except (W2SDError, ValueError) as error:
        raise gr.Error(str(error)) from error
    strong, reflected = runs["strong"].x, runs["W2SD"].x
    columns = math.ceil(count**0.5)
    filler = torch.full((-count % columns, *strong.shape[1:]), -1.0)
    sheets = [model_plots.sheet(torch.cat([x, filler]), columns) for x in (strong, reflected)]
    difference = model_plots.sheet(torch.cat([(reflected - strong).abs() * 2 - 1, filler]), columns)
    trace = runs["W2SD"].trace
    return (*map(picture, (*sheets, difference)), _plot(trace), _scores(runs, cond))


def _plot(trace):
    if trace is None:
        return None
    page = io.BytesIO()
    model_plots.trace({"W2SD": trace.as_dict()}, page)
    return Image.open(page)


def _scores(runs: dict, wanted) -> str:
    lines = ["| | class right | attribute right | network rows a picture |", "|---|---|---|---|"]
    for name, run in runs.items():
        _, kind, attribute = scores.judge(run.x)
        cells = []
        for found, asked, left_out in ((kind, wanted[:, 0], 10), (attribute, wanted[:, 1], 2)):
            told = asked != left_out
            cells.append(f"{int((found == asked)[told].sum())} of {int(told.sum())}" if told.any() else "not asked")
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {run.rows / len(run.x):g} |")
    return "\n".join(lines)


def page() -> gr.Blocks:
    words = ", ".join(prompts.ATTRIBUTES + prompts.CLASSES)
    with gr.Blocks(title="W2SD playground") as blocks:
        gr.Markdown(f"# W2SD playground\nA small diffusion model of clothes at 16x16. Prompt words: {words}.")
        with gr.Row():
            with gr.Column(scale=2):
                prompt = gr.Textbox("bright bag", label="Prompt", elem_id="prompt")
                negative = gr.Textbox("", label="Negative prompt", elem_id="negative_prompt")
                with gr.Row():
                    count = gr.Slider(1, 64, 16, step=1, label="Pictures", elem_id="count")
                    steps = gr.Slider(2, 50, 20, step=1, label="Steps", elem_id="steps")
                with gr.Row():
                    sampler = gr.Dropdown(list(SAMPLERS), value="Euler", label="Sampler", elem_id="sampler")
                    cfg = gr.Slider(1, 8, 1.5, step=0.1, label="CFG scale", elem_id="cfg")
                    seed = gr.Number(1, label="Seed", precision=0, elem_id="seed")
                weak = gr.Dropdown(list(WEAK_MODELS), value=list(WEAK_MODELS)[1], label="Weak model", elem_id="weak")
                controls = ui.build(CheckboxAccordion, "txt2img")
                button = gr.Button("Generate", variant="primary", elem_id="generate")
            with gr.Column(scale=3):
                with gr.Row():
                    shown = [
                        gr.Image(label=label, type="pil", elem_id=elem_id, interactive=False)
                        for label, elem_id in (("strong", "strong"), ("W2SD", "w2sd"), ("difference", "difference"))
                    ]
                table = gr.Markdown(elem_id="scores")
                plot = gr.Image(label="trace", type="pil", elem_id="trace", interactive=False)
        given = [prompt, negative, count, steps, sampler, cfg, seed, weak, *controls]
        button.click(generate, given, [*shown, plot, table], api_name="generate")
    return blocks


def serve(port: int) -> None:
    page().launch(server_name="127.0.0.1", server_port=port)
