"""The catalogue of codes as a page."""

from __future__ import annotations

from typing import Final

from onnxq.codes import CODES
from onnxq.codes.code import Code

_AREAS: Final = {
    "OQ1": "OQ1xx: the rule file",
    "OQ2": "OQ2xx: rules against the model",
    "OQ3": "OQ3xx: the model",
    "OQ4": "OQ4xx: data, calibration and scales",
    "OQ5": "OQ5xx: writing",
    "OQ6": "OQ6xx: verify",
    "OQ7": "OQ7xx: training",
    "OQ8": "OQ8xx: the machine",
}
_HEAD: Final = """\
# Codes

Every error and warning of onnxq has a code; `onnxq explain OQ203` prints what stands here.
`python -m onnxq.codes > docs/codes.md` makes this page.
"""


def document() -> str:
    """The page, as Markdown."""
    parts = [_HEAD]
    for area, title in _AREAS.items():
        parts.append(f"\n## {title}\n")
        parts += [_entry(code, CODES[code]) for code in CODES if code.startswith(area)]
    return "".join(parts)


def _entry(code: str, entry: Code) -> str:
    return f"\n### {code}\n\n{entry.meaning}\n\n```\n{entry.example}\n```\n\n{entry.fix}\n"
