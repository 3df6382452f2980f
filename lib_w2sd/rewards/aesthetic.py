"""LAION's aesthetic predictor: how good a picture looks, whatever its prompt, from 1 to 10.

A few linear layers on CLIP ViT-L/14's picture features (github.com/christophschuhmann/improved-aesthetic-predictor, and
LAION's own of one layer). CLIP itself is a folder beside the file.
"""

import torch
from torch import nn

from .clip import config_of, missing
from .reward import Reward


class Predictor(nn.Module):
    """CLIP's picture half and the head, which takes features of unit length: one number out."""

    def __init__(self, clip: nn.Module, head: nn.Module):
        super().__init__()
        self.vision, self.projection, self.head = clip.vision_model, clip.visual_projection, head

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        features = self.projection(self.vision(pixel_values=pixels).pooler_output)
        return self.head(nn.functional.normalize(features, dim=-1)).flatten()


class Aesthetic(Reward):
    told = "an aesthetic predictor's head (aesthetic, sac+ or sa_0 in its name; CLIP ViT-L/14's folder beside it)"

    @classmethod
    def fits(cls, path):
        named = any(word in path.name.lower() for word in ("aesthetic", "sac+", "sa_0"))
        return path.is_file() and path.suffix in (".pth", ".pt", ".safetensors") and named

    def load(self):
        from transformers import CLIPImageProcessor, CLIPModel

        layers = self._layers()
        folder = self._clip(layers[0].in_features)
        self.processor = CLIPImageProcessor.from_pretrained(folder, local_files_only=True)
        clip = CLIPModel.from_pretrained(folder, local_files_only=True)
        # No activations between the layers: its authors found them of no use. (Dropout is not for asking.)
        return Predictor(clip, nn.Sequential(*layers)).float().eval()

    def _layers(self) -> list:
        state = self.state(self.path)
        names = sorted((n.removesuffix("weight") for n in state if n.endswith("weight")), key=lambda n: (len(n), n))
        layers = []
        for name in names:
            weight = state[f"{name}weight"]
            if weight.ndim != 2 or f"{name}bias" not in state:
                raise self.error("it is no head of linear layers")
            layer = nn.Linear(weight.shape[1], weight.shape[0])
            layer.load_state_dict({"weight": weight, "bias": state[f"{name}bias"]})
            layers.append(layer)
        fitting = all(a.out_features == b.in_features for a, b in zip(layers, layers[1:]))
        if not layers or not fitting or layers[-1].out_features != 1:
            raise self.error("its layers do not lead to one number")
        return layers

    def _clip(self, features: int):
        for folder in sorted(path for path in self.path.parent.iterdir() if path.is_dir()):
            config = config_of(folder)
            if config.get("model_type") == "clip" and config.get("projection_dim") == features and not missing(folder):
                return folder
        raise self.error(
            f"beside it there is no folder of a CLIP with {features} features (openai/clip-vit-large-patch14 for 768)"
        )

    def ask(self, model, pictures, prompts, device):
        pixels = self.processor(images=pictures, return_tensors="pt")["pixel_values"].to(device)
        return model(pixels).float().cpu()
