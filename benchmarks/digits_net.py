"""A small net for scikit-learn's digits, and a plain loop that trains it with labels."""

from __future__ import annotations

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import onnxq.torch

Set = tuple[np.ndarray, np.ndarray]


def data(seed: int) -> tuple[Set, Set]:
    """1,197 pictures of 8x8 from 0 to 1 to train on with their labels, and 600 others."""
    spec = find_spec("sklearn")
    folder = Path(next(iter(spec.submodule_search_locations)))  # only its file is read
    with gzip.open(folder / "datasets/data/digits.csv.gz", "rt") as file:
        table = np.loadtxt(file, delimiter=",")
    table = table[np.random.default_rng(seed).permutation(len(table))]
    pictures = (table[:, :-1] / 16).astype(np.float32).reshape(-1, 1, 8, 8)
    labels = table[:, -1].astype(np.int64)
    return (pictures[600:], labels[600:]), (pictures[:600], labels[:600])


def exported(path: Path, seed: int) -> None:
    """Write the net with random weights."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )
    torch.onnx.export(
        net.eval(),
        (torch.zeros(1, 1, 8, 8),),
        str(path),
        input_names=["x"],
        output_names=["y"],
        opset_version=17,
        dynamo=False,
    )


def trained(
    module: onnxq.torch.QuantizedModule,
    pictures: np.ndarray,
    labels: np.ndarray,
    epochs: int,
    *,
    pairs: bool,
) -> None:
    """Train it with or without the rounding of its pairs."""
    module.fake_quant(pairs)
    batches = DataLoader(
        TensorDataset(torch.from_numpy(pictures), torch.from_numpy(labels)), 32, shuffle=True
    )
    optimizer = torch.optim.Adam(module.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for some, classes in batches:
            scores: Tensor = module(some)
            optimizer.zero_grad()
            nn.functional.cross_entropy(scores, classes).backward()
            optimizer.step()
        schedule.step()
