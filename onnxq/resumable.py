"""A file that gets the state of a long run, to go on from after an interruption."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from onnxq.diagnostics import OnnxqError, error


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumableFile:
    """Where the state is kept; `resume` permits to go on from what is there."""

    path: Path
    resume: bool = False

    def require_resumable(self) -> None:
        """Raise OQ433 for a file that is there and must not be resumed."""
        if not self.resume and os.path.exists(self.path):
            raise error(
                "OQ433",
                f"the checkpoint '{self.path}' exists already",
                fix="continue it with --resume, or remove it",
            )

    def of_other_run(self, what: str) -> OnnxqError:
        """The error that the file is of a run with another model, say (OQ431)."""
        return error(
            "OQ431",
            f"the checkpoint '{self.path}' is of a run with another {what}",
            fix="repeat the command that was interrupted, or remove the checkpoint",
        )

    def remove(self) -> None:
        """Delete the file of a run that is complete."""
        self.path.unlink(missing_ok=True)
