"""The file of an improvement that is not complete, to go on from after an interruption."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from onnxq.array_file import ArrayFile
from onnxq.diagnostics import first_line
from onnxq.improvement.improvement import Improvement, pack, unpack
from onnxq.improvement.improver import State
from onnxq.resumable import ResumableFile

_FILE: Final = ArrayFile(
    kind="unfinished improvement",
    version=1,
    dtypes={"meta": np.uint8, "values": np.uint8},
    codes=("OQ433", "OQ433", "OQ440"),
    command="onnxq improve --checkpoint",
    again="remove it to begin anew",
)
_SAME: Final = (
    "model_digest",
    "plan_digest",
    "statistics_digest",
    "data_digest",
    "seed",
    "loss",
    "settings",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(ResumableFile):
    """A file that gets the improvement so far, and the state of the improver at work."""

    def keep(self, improvement: Improvement, state: State) -> None:
        """Write it, whole or not at all."""
        _FILE.write(self.path, pack(improvement, state))

    def begun(self, run: Improvement) -> tuple[Improvement, State] | None:
        """What was kept; None where there is no file.

        `run` is the improvement that begins: the file must be of the same model, plan, data and
        settings (OQ431). Raises OQ433 for a damaged file, and for one that must not be resumed.
        """
        if not os.path.exists(self.path):
            return None
        self.require_resumable()
        arrays = _FILE.read(self.path)
        try:
            improvement, state = unpack(arrays)
        except Exception as cause:  # content that no `keep` wrote fails in dozens of ways
            raise _FILE.unusable(self.path, first_line(cause)) from cause
        if other := [k for k in _SAME if getattr(improvement, k) != getattr(run, k)]:
            what = other[0].removesuffix("_digest")
            raise self.of_other_run(what)
        return replace(improvement, diagnostics=run.diagnostics), state
