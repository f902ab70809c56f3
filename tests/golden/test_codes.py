"""The catalogue of codes."""

import json
from pathlib import Path

import pytest

from onnxq.codes import CODES
from onnxq.codes.document import document
from tests.cli.forked import onnxq
from tests.command import result, succeeded

PAGE = Path(__file__).parents[2] / "docs" / "codes.md"


def test_the_page_is_fresh():
    assert PAGE.read_text() == document(), "python -m onnxq.codes > docs/codes.md"


@pytest.mark.parametrize("code", CODES)
def test_every_entry_says_what_it_means_and_what_to_do(code):
    entry = CODES[code]
    for text in (entry.meaning, entry.fix):
        assert text[0] in "`" or text[0].isupper() or text.startswith("onnx")
        assert text.endswith(".")
        assert "  " not in text
    assert entry.example
    assert "\n" not in entry.example
    assert f"### {code}\n" in document()


def test_codes_are_in_order():
    assert list(CODES) == sorted(CODES)


def test_explain_prints_the_entry(tmp_path):
    told = succeeded(onnxq("explain", "oq203", cwd=tmp_path)).stdout
    entry = CODES["OQ203"]
    assert told == f"OQ203: {entry.meaning}\n\n  {entry.example}\n\n{entry.fix}\n"


def test_explain_as_json(tmp_path):
    told = result(onnxq("explain", "OQ203", "--json", cwd=tmp_path))
    assert told == {"code": "OQ203", **json.loads(json.dumps(vars_of(CODES["OQ203"])))}


def vars_of(entry):
    return {"meaning": entry.meaning, "example": entry.example, "fix": entry.fix}
