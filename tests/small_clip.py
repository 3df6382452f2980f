"""A CLIP with CLIP's own vocabulary and small random weights, in the folder that transformers reads: a reward that says
nothing of a picture, in the files of one that does.

For the live suite: python -m tests.small_clip WEBUI/models/rewards/w2sd-clip
"""

import json
import sys
from pathlib import Path

import torch
from clip.simple_tokenizer import SimpleTokenizer
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

FEATURES = 24


def make(folder: Path) -> Path:
    words = SimpleTokenizer()
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps(words.encoder), encoding="utf-8")
    merges = "\n".join(" ".join(pair) for pair in words.bpe_ranks)
    (folder / "merges.txt").write_text("#version: 0.2\n" + merges, encoding="utf-8")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"bos_token_id": 49406, "eos_token_id": 49407, "pad_token_id": 49407}
    torch.manual_seed(0)
    model = CLIPModel(
        CLIPConfig(
            text_config={**size, **ends, "vocab_size": 49408},
            vision_config={**size, "image_size": 32, "patch_size": 8},
            projection_dim=FEATURES,
        )
    )
    model.save_pretrained(folder)
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(processor, tokenizer).save_pretrained(folder)
    # As the published folders are, and older versions of transformers want them.
    processor.save_pretrained(folder)
    for newer in ("processor_config.json", "tokenizer.json"):
        (folder / newer).unlink(missing_ok=True)
    return folder


if __name__ == "__main__":
    print(make(Path(sys.argv[1])))
