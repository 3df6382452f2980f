"""The text encoder: transformers' CLIPTextModel, small, with CLIP's own tokens of which it knows those of our captions.

In the lab the embedding has a row for each token that the captions use and one for all others; in the checkpoint that a
WebUI loads it has CLIP's 49,408 rows, most of them copies of that one.
"""

import functools
import gzip
import importlib.util
import json
from pathlib import Path

import torch
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

WIDTH, LENGTH, FULL = 96, 77, 49408
START, END = 49406, 49407


def config(rows: int) -> CLIPTextConfig:
    """`rows` of the embedding. The last two are start and end, as in CLIP."""
    return CLIPTextConfig(
        vocab_size=rows,
        hidden_size=WIDTH,
        intermediate_size=3 * WIDTH,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        hidden_act="quick_gelu",
        projection_dim=WIDTH,
        bos_token_id=rows - 2,
        eos_token_id=rows - 1,
        pad_token_id=rows - 1,
    )


def vocabulary() -> "tuple[dict, list]":
    """CLIP's tokens {token: id} and merges, from the file that its package carries (clip-anytorch).

    Raises FileNotFoundError with what to install.
    """
    spec = importlib.util.find_spec("clip")
    path = Path(spec.submodule_search_locations[0]) / "bpe_simple_vocab_16e6.txt.gz" if spec else None
    if path is None or not path.exists():
        raise FileNotFoundError("CLIP's vocabulary was not found: pip install clip-anytorch")
    with gzip.open(path, "rt", encoding="utf-8") as f:
        merges = f.read().split("\n")[1 : FULL - 256 * 2 - 2 + 1]
    visible = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters = [chr(b) for b in visible] + [chr(256 + i) for i in range(256 - len(visible))]
    tokens = letters + [letter + "</w>" for letter in letters] + ["".join(merge.split()) for merge in merges]
    return {token: i for i, token in enumerate([*tokens, "<|startoftext|>", "<|endoftext|>"])}, merges


def write_tokenizer(folder: Path) -> Path:
    """vocab.json, merges.txt and tokenizer_config.json, as transformers and the WebUIs read them."""
    tokens, merges = vocabulary()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(tokens, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n", encoding="utf-8")
    about = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "do_lower_case": True,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(about, indent=2), encoding="utf-8")
    return folder


@functools.cache
def tokenizer() -> CLIPTokenizer:
    tokens, merges = vocabulary()
    return CLIPTokenizer(vocab=tokens, merges=[tuple(merge.split()) for merge in merges])


@functools.cache
def token_ids(text: str) -> tuple:
    """CLIP's 77 token ids of a prompt: start, the words, end to the last."""
    words = tokenizer()(text, add_special_tokens=False).input_ids[: LENGTH - 2]
    return (START, *words, *[END] * (LENGTH - 1 - len(words)))


class Tokens:
    """The tokens that the model has learned, as rows of its embedding: 0 is every other one.

    known  CLIP's ids, ascending; start and end come last by themselves
    """

    def __init__(self, known: list):
        self.known = list(known)
        self._rows = {token: row for row, token in enumerate(self.known, 1)}

    @classmethod
    def of(cls, texts) -> "Tokens":
        return cls(sorted({token for text in texts for token in token_ids(text)}))

    def __len__(self) -> int:
        return len(self.known) + 1

    def ids(self, texts) -> torch.Tensor:
        """[len(texts), 77], rows of the embedding."""
        return torch.tensor([[self._rows.get(token, 0) for token in token_ids(text)] for text in texts])

    def full(self, rows: torch.Tensor) -> torch.Tensor:
        """The embedding [len(self), W] with all of CLIP's rows: [49408, W]."""
        found = rows[:1].expand(FULL, -1).clone()
        found[torch.tensor(self.known)] = rows[1:]
        return found


def new(tokens: Tokens) -> CLIPTextModel:
    """With random weights. The last bias is not zero: the WebUI's emphasis divides by the mean of what comes out."""
    model = CLIPTextModel(config(len(tokens)))
    with torch.no_grad():
        last = final_norm(model)
        last.bias.normal_(0.1, 0.1)
        for embedding in (m for m in model.modules() if isinstance(m, torch.nn.Embedding)):
            embedding.weight.normal_(0, 0.3 if embedding.num_embeddings != LENGTH else 0.1)
    return model


def final_norm(model: CLIPTextModel) -> torch.nn.LayerNorm:
    return next(m for name, m in model.named_modules() if name.endswith("final_layer_norm"))


def encode(model: CLIPTextModel, ids: torch.Tensor) -> torch.Tensor:
    """Conditioning [B, 77, W], after the last norm."""
    return model(input_ids=ids).last_hidden_state
