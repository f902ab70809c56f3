"""The notebook runs in a real kernel, and its committed outputs are of the kind that it gives.

With ONNXQ_UPDATE=1 in the environment the outputs are written to the notebook instead.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebooks" / "quickstart.ipynb"
UPDATE = bool(os.environ.get("ONNXQ_UPDATE"))


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """The notebook after a run in the folder of the demo; what a cell raises fails the test."""
    folder = tmp_path_factory.mktemp("notebook")
    subprocess.run([sys.executable, ROOT / "demo" / "prepare.py", folder], check=True)
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    for cell in code_cells(notebook):
        cell.outputs, cell.execution_count = [], None
    resources = {"metadata": {"path": folder}}
    NotebookClient(
        notebook, timeout=1800, resources=resources, record_timing=False, kernel_name="python3"
    ).execute()
    assert (folder / "yolox.qdq.onnx").stat().st_size > 1_000_000
    if UPDATE:
        notebook.metadata = nbformat.read(NOTEBOOK, as_version=4).metadata
        nbformat.write(notebook, NOTEBOOK)
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell):
    """What a cell gives: printed text, or a result with the forms that it is shown in."""
    return [
        (output.output_type, output.get("name"), sorted(output.get("data", ())))
        for output in cell.outputs
    ]


def test_the_committed_outputs_are_of_the_kind_that_a_run_gives(executed):
    committed = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(committed)
    for now, before in zip(code_cells(executed), code_cells(committed), strict=True):
        assert kinds(now) == kinds(before), now.source
        assert kinds(now), now.source
        assert now.execution_count == before.execution_count


def test_results_show_themselves_and_nothing_goes_to_stderr(executed):
    outputs = [output for cell in code_cells(executed) for output in cell.outputs]
    assert not any(output.get("name") == "stderr" for output in outputs)
    shown = [o.data["text/html"] for o in outputs if "text/html" in o.get("data", ())]
    assert len(shown) == 5
    assert all(html.startswith("<pre") for html in shown)


def test_figures_are_those_that_the_text_speaks_of(executed):
    """By its histogram the tensor gains from the other scale, and the outputs do too."""
    texts = [o.data["text/plain"] for c in code_cells(executed) for o in c.outputs if "data" in o]
    everything = "\n".join(texts)
    percentile, mse = (
        float(re.search(rf"^ {method}.* ([\d.]+)$", everything, re.MULTILINE)[1])
        for method in ("percentile", "mse")
    )
    assert mse > percentile
    recipe, changed = re.search(r"SQNR dB, output +([\d.]+) +([\d.]+)", everything).groups()
    assert float(changed) > float(recipe)


def test_the_notebook_imports_onnxq_alone_and_is_small():
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    lines = [line for cell in code_cells(notebook) for line in cell.source.splitlines()]
    assert [line for line in lines if "import" in line] == ["import onnxq"]
    assert NOTEBOOK.stat().st_size < 100_000
