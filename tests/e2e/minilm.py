"""MiniLM-L6 (Wang et al., 2020), a sentence encoder, with its weights and its tokens."""

import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import nn

HIDDEN, HEADS, LAYERS, INNER, POSITIONS = 384, 12, 6, 1536, 512
TOKENS = 128


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(HIDDEN, HIDDEN) for _ in range(3))

    def forward(self, x, mask):
        def heads(t):
            return t.view(*t.shape[:2], HEADS, HIDDEN // HEADS).transpose(1, 2)

        q, k, v = heads(self.query(x)), heads(self.key(x)), heads(self.value(x))
        scores = q @ k.transpose(-1, -2) / (HIDDEN // HEADS) ** 0.5 + mask
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class Added(nn.Module):
    """A product whose result is added to what came before, and normalized."""

    def __init__(self, inputs: int):
        super().__init__()
        self.dense = nn.Linear(inputs, HIDDEN)
        self.LayerNorm = nn.LayerNorm(HIDDEN, eps=1e-12)

    def forward(self, x, before):
        return self.LayerNorm(self.dense(x) + before)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.ModuleDict({"self": Attention(), "output": Added(HIDDEN)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(HIDDEN, INNER)})
        self.output = Added(INNER)

    def forward(self, x, mask):
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(nn.functional.gelu(self.intermediate["dense"](x)), x)


class MiniLM(nn.Module):
    def __init__(self, words: int):
        super().__init__()
        self.embeddings = nn.ModuleDict(
            {
                "word_embeddings": nn.Embedding(words, HIDDEN),
                "position_embeddings": nn.Embedding(POSITIONS, HIDDEN),
                "token_type_embeddings": nn.Embedding(2, HIDDEN),
                "LayerNorm": nn.LayerNorm(HIDDEN, eps=1e-12),
            }
        )
        self.encoder = nn.ModuleDict({"layer": nn.ModuleList(Layer() for _ in range(LAYERS))})

    def forward(self, ids, mask):
        e = self.embeddings
        x = e["word_embeddings"](ids) + e["token_type_embeddings"].weight[0]
        x = e["LayerNorm"](x + e["position_embeddings"].weight[: ids.shape[1]])
        lowest = torch.finfo(torch.float32).min
        added = (1 - mask[:, None, None].float()) * lowest
        for layer in self.encoder["layer"]:
            x = layer(x, added)
        weight = mask[..., None].float()
        mean = (x * weight).sum(1) / weight.sum(1).clamp(min=1e-9)
        return nn.functional.normalize(mean)


def read_safetensors(path: Path):
    """The tensors of a safetensors file: a length, a JSON header of that length, and the data."""
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    found = {}
    for name, about in json.loads(data[8:start]).items():
        if about.get("dtype") == "F32":
            first, last = about["data_offsets"]
            values = np.frombuffer(data[start + first : start + last], np.float32)
            found[name] = torch.from_numpy(values.reshape(about["shape"]).copy())
    return found


def export(weights: Path, path: Path) -> None:
    """Write the trained model as ONNX, opset 17, inputs 'ids' and 'mask' of 1x128."""
    tensors = read_safetensors(weights)
    model = MiniLM(len(tensors["embeddings.word_embeddings.weight"])).eval()
    used = {k: v for k, v in tensors.items() if not k.startswith("pooler")}
    model.load_state_dict(used)
    example = torch.ones(1, TOKENS, dtype=torch.int64)
    torch.onnx.export(
        model,
        (example, example),
        str(path),
        input_names=["ids", "mask"],
        output_names=["embedding"],
        opset_version=17,
        dynamo=False,
    )


def tokens(text: str, words: dict[str, int]) -> list[int]:
    """WordPiece: of each lower-case word the longest known beginning, then that of the rest."""
    found = [words["[CLS]"]]
    for word in re.findall(r"\w+|[^\w\s]", text.lower()):
        rest, pieces = word, []
        while rest:
            mark = "##" if pieces else ""
            size = next((n for n in range(len(rest), 0, -1) if mark + rest[:n] in words), 0)
            if not size:
                pieces = [words["[UNK]"]]
                break
            pieces.append(words[mark + rest[:size]])
            rest = rest[size:]
        found += pieces
    return [*found[: TOKENS - 1], words["[SEP]"]]


def samples(texts: list[str], vocabulary: Path) -> dict[str, np.ndarray]:
    """Texts as the model's inputs, one a row."""
    words = {w: i for i, w in enumerate(vocabulary.read_text("utf-8").split("\n"))}
    rows = [tokens(text, words) for text in texts]
    ids = np.zeros((len(rows), TOKENS), np.int64)
    for row, line in zip(ids, rows, strict=True):
        row[: len(line)] = line
    return {"ids": ids, "mask": (ids != 0).astype(np.int64)}
