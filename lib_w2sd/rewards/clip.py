"""CLIP score (arXiv 2104.08718) and PickScore (arXiv 2305.01569): the same network, trained on other data."""

import json

from .reward import Reward


def config_of(path) -> dict:
    """config.json of a folder, empty where there is none."""
    try:
        found = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def missing(path) -> list:
    """What transformers would not find in a CLIP folder."""
    needed = (
        ("model.safetensors", "pytorch_model.bin"),
        ("preprocessor_config.json", "processor_config.json"),
        ("tokenizer.json", "vocab.json"),
    )
    return [" or ".join(names) for names in needed if not any((path / name).is_file() for name in names)]


class Clip(Reward):
    """The cosine of picture and prompt times the network's own temperature: 100 in all published ones, so that CLIP
    score is in percent, and PickScore as its authors give it."""

    told = "a folder as transformers saves a CLIPModel with its CLIPProcessor (CLIP, PickScore_v1)"

    @classmethod
    def fits(cls, path):
        return path.is_dir() and config_of(path).get("model_type") == "clip"

    def check(self):
        if absent := missing(self.path):
            raise self.error(f"{', '.join(absent)} is missing")

    def load(self):
        from transformers import CLIPModel, CLIPProcessor

        self.processor = CLIPProcessor.from_pretrained(self.path, local_files_only=True)
        return CLIPModel.from_pretrained(self.path, local_files_only=True).float().eval()

    def ask(self, model, pictures, prompts, device):
        length = model.config.text_config.max_position_embeddings
        text = {"padding": True, "truncation": True, "max_length": length}
        asked = self.processor(images=pictures, text=prompts, return_tensors="pt", **text).to(device)
        return model(**asked).logits_per_image.diagonal().float().cpu()
