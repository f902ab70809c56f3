"""A list of the bad inputs that tests give: `make bad-inputs` writes it into the documentation."""

import json
import os
from pathlib import Path


def note(arguments, message, folder):
    """Add a refused command, and what it said, to the file that ONNXQ_REFUSALS names, if any."""
    if not (name := os.environ.get("ONNXQ_REFUSALS")):
        return
    where = f"{Path(folder)}/"
    row = {
        "command": " ".join(map(str, arguments)).replace(where, ""),
        "message": message.replace(where, ""),
        "test": os.environ["PYTEST_CURRENT_TEST"].partition(" ")[0],
    }
    with open(name, "a") as file:  # workers append whole lines
        file.write(f"{json.dumps(row)}\n")
