"""What prepare.py lays down for a machine with a GPU: networks, the files to build, and inputs.

A folder has bundle.json, and by network NETWORK/ENGINE.onnx, samples NETWORK/samples/N.npz and the
outputs of onnxruntime for each file, NETWORK/expected/ENGINE/N.npz, as `save_arrays` writes them.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

FLOAT = "fp32"  # the engine whose outputs in onnxruntime are the truth


class Strict(BaseModel):
    """A record of which every field is known."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")


class EngineFile(Strict):
    """One file to build an engine of, and its SHA-256."""

    name: str
    digest: str


class Network(Strict):
    """A trained model in several types, or the placements of one network.

    The files of a model compute the same, so that their outputs are held against those in FP32.
    """

    name: str
    title: str
    kind: Literal["model", "placements"]
    samples: int
    engines: tuple[EngineFile, ...]


class Bundle(Strict):
    """All networks, and the commit of the onnxq that made them."""

    onnxq: str
    networks: tuple[Network, ...]

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """The bundle of a folder."""
        return cls.model_validate_json((folder / "bundle.json").read_text("utf-8"))


def model(folder: Path, network: str, engine: str) -> Path:
    """The ONNX file of an engine."""
    return folder / network / f"{engine}.onnx"


def samples(folder: Path, network: Network) -> list[Path]:
    """The files of a network's samples."""
    return [folder / network.name / "samples" / f"{i}.npz" for i in range(network.samples)]


def expected(folder: Path, network: Network, engine: str) -> list[Path]:
    """The files of what onnxruntime computes, a sample each."""
    place = folder / network.name / "expected" / engine
    return [place / f"{i}.npz" for i in range(network.samples)]


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
