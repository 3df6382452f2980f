"""Human Preference Score v2 and v2.1 (arXiv 2306.09341): a CLIP of open_clip's, trained on people's choices."""

import torch

from .reward import Reward, layers_in

# open_clip's names of what a checkpoint's size tells, and where its configuration says the same.
_SIZES = {
    "text_projection": lambda c: (c["text_cfg"]["width"], c["embed_dim"]),
    "visual.proj": lambda c: (c["vision_cfg"]["width"], c["embed_dim"]),
    "positional_embedding": lambda c: (c["text_cfg"]["context_length"], c["text_cfg"]["width"]),
    "token_embedding.weight": lambda c: (c["text_cfg"]["vocab_size"], c["text_cfg"]["width"]),
}


def _is_of(config: dict, state: dict) -> bool:
    vision, text = config["vision_cfg"], config["text_cfg"]
    if not isinstance(vision.get("layers"), int) or "width" not in text or config.get("custom_text"):
        return False
    try:
        sizes = all(tuple(state[name].shape) == size(config) for name, size in _SIZES.items())
    except KeyError:
        return False
    patch = state["visual.conv1.weight"].shape[-1]
    return (
        sizes
        and patch == vision.get("patch_size")
        and layers_in(state, "visual.transformer.resblocks.") == vision["layers"]
        and layers_in(state, "transformer.resblocks.") == text["layers"]
    )


class HPS(Reward):
    """The cosine of picture and prompt, as its authors give it."""

    told = "a checkpoint of open_clip's (HPS_v2_compressed.pt, HPS_v2.1_compressed.pt)"

    @classmethod
    def fits(cls, path):
        return path.is_file() and path.suffix in (".pt", ".safetensors") and "hps" in path.name.lower()

    def load(self):
        import open_clip

        state = {name.removeprefix("module."): value for name, value in self.state(self.path).items()}
        if "visual.conv1.weight" not in state:
            raise self.error("it has no weights of a CLIP's")
        # Of two with the same sizes (quickgelu, frozen) the plainest name is meant.
        known = sorted(open_clip.list_models(), key=lambda name: (len(name), name))
        of = next((name for name in known if _is_of(open_clip.get_model_config(name), state)), None)
        if of is None:
            raise self.error("open_clip knows no network of its sizes")
        model, _, self.preprocess = open_clip.create_model_and_transforms(of, pretrained=None)
        self.tokenizer = open_clip.get_tokenizer(of)
        model.load_state_dict(state)
        return model.float().eval()

    def ask(self, model, pictures, prompts, device):
        images = torch.stack([self.preprocess(picture) for picture in pictures]).to(device)
        images = model.encode_image(images, normalize=True)
        texts = model.encode_text(self.tokenizer(prompts).to(device), normalize=True)
        return (images * texts).sum(dim=1).float().cpu()
