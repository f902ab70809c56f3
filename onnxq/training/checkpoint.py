"""The file of a training that is not complete, to go on from after an interruption."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
import torch

from onnxq.array_file import ArrayFile
from onnxq.diagnostics import first_line
from onnxq.resumable import ResumableFile
from onnxq.training.epochs import Epoch
from onnxq.training.loop import Training

_FILE: Final = ArrayFile(
    kind="unfinished training",
    version=1,
    dtypes={"meta": np.uint8, "values": np.float32},
    codes=("OQ433", "OQ433", "OQ440"),
    command="onnxq train --checkpoint",
    again="remove it to begin anew",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(ResumableFile):
    """A file that gets the state of a training after every epoch; `run` tells it from others."""

    run: Mapping[str, str]

    def keep(self, training: Training) -> None:
        """Write it, whole or not at all."""
        state = training.state()
        meta = {
            "run": dict(self.run),
            "epochs": [asdict(epoch) for epoch in training.history],
            "rng": training.rng.bit_generator.state,
            "steps": state.steps,
        }
        _FILE.write(
            self.path,
            {
                "meta": np.frombuffer(json.dumps(meta).encode(), np.uint8),
                "values": torch.cat([t.reshape(-1).float() for t in state.tensors]).numpy(),
            },
        )

    def restore(self, training: Training) -> None:
        """Give a training the state that was kept, if any.

        Raises OQ431 for the file of another run, OQ433 for a damaged file and for one that must not
        be resumed.
        """
        if not os.path.exists(self.path):
            return
        self.require_resumable()
        arrays = _FILE.read(self.path)
        try:
            meta: dict[str, Any] = json.loads(bytes(arrays["meta"]))
            self._require_same(meta["run"])
            training.restore(torch.from_numpy(arrays["values"].copy()), meta["steps"])
            training.history = [Epoch(**epoch) for epoch in meta["epochs"]]
            training.rng.bit_generator.state = meta["rng"]
        except (KeyError, TypeError, ValueError, RuntimeError) as cause:
            raise _FILE.unusable(self.path, first_line(cause)) from cause

    def _require_same(self, run: Mapping[str, str]) -> None:
        if other := [name for name, value in self.run.items() if run.get(name) != value]:
            raise self.of_other_run(other[0])
