"""The rules reference: its tables are generated, its examples are run.

With ONNXQ_UPDATE=1 in the environment what differs is written to the document instead.
"""

import os
import re
from pathlib import Path

import onnx.parser
import pytest

from onnxq.model.graph import Graph
from onnxq.planning import cascade, recipe, rule_file
from onnxq.planning.selectors import PREDICATES

REFERENCE = Path(__file__).parents[2] / "docs" / "rules.md"
UPDATE = bool(os.environ.get("ONNXQ_UPDATE"))
EXAMPLE = re.compile(
    r"^### (\d+\. [^\n]+)\n\n```onnx\n(.*?)```\n\n```yaml\n(.*?)```\n\n```plan\n(.*?)```",
    re.MULTILINE | re.DOTALL,
)


def replaced(old: str, new: str) -> None:
    text = REFERENCE.read_text()
    assert text.count(old) == 1
    REFERENCE.write_text(text.replace(old, new))


def predicates() -> str:
    rows = (f"| `{key}` | {' '.join(p.doc.split())} |" for key, p in PREDICATES.items())
    return "\n".join(("| key | holds when |", "|---|---|", *rows)).replace("|` |", "\\|` |")


def test_the_table_of_predicates_is_fresh():
    found = re.search(r"<!-- predicates -->\n(.*?)<!-- end -->", REFERENCE.read_text(), re.DOTALL)
    if UPDATE:
        replaced(found[0], f"<!-- predicates -->\n{predicates()}\n<!-- end -->")
    else:
        assert found[1].strip() == predicates()


def test_the_shipped_descriptors_are_shown():
    base = (REFERENCE.parents[1] / "rules" / "trt-int8.yaml").read_text()
    lines = re.findall(r"^  [\w-]+: \{dtype.*\}$", base, re.MULTILINE)
    assert len(lines) == 4
    shown = "\n".join(("<!-- shipped -->", "```yaml", "descriptors:", *lines, "```"))
    shown += "\n<!-- end of shipped -->"
    found = re.search(
        r"<!-- shipped -->.*?<!-- end of shipped -->", REFERENCE.read_text(), re.DOTALL
    )
    if UPDATE:
        replaced(found[0], shown)
    else:
        assert found[0] == shown


@pytest.mark.parametrize(
    ("title", "model", "rules", "plan"), EXAMPLE.findall(REFERENCE.read_text())
)
def test_an_example_gives_its_plan(title, model, rules, plan, tmp_path):
    (tmp_path / "example.yaml").write_text(rules)
    graph = Graph(onnx.parser.parse_model(model))
    planned = cascade.plan(graph, recipe.load(tmp_path / "example.yaml"))
    found = [(*line.decided(), line.rule) for line in planned.lines]
    if UPDATE:
        widths = [max(map(len, column)) for column in zip(*found, strict=True)]
        rows = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in found
        )
        begin = f"### {title}\n\n```onnx\n{model}```\n\n```yaml\n{rules}```\n\n```plan\n"
        replaced(f"{begin}{plan}```", f"{begin}{''.join(f'{row}{os.linesep}' for row in rows)}```")
    else:
        assert planned.diagnostics == ()
        assert [tuple(line.split()) for line in plan.splitlines()] == found


def test_there_are_eleven_examples():
    assert len(EXAMPLE.findall(REFERENCE.read_text())) == 11


def test_the_schema_is_fresh():
    import json

    path = REFERENCE.parents[1] / "rules" / "schema.json"
    text = json.dumps(rule_file.json_schema(), indent=2) + "\n"
    if UPDATE:
        path.write_text(text)
    assert path.read_text() == text


def test_the_keys_of_the_reference_are_those_of_the_types():
    text = REFERENCE.read_text()
    for keys in (rule_file.RuleSpec.model_fields, rule_file.DescriptorSpec.model_fields):
        assert [key for key in keys if f"| `{key}` |" not in text] == []
