"""Write docs/bad-inputs.md from what tests noted: python fuzz/bad_inputs.py REFUSALS.

A row is a bad input: commands with the same message count once.
"""

import json
import sys
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "bad-inputs.md"
HEAD = """# Bad inputs
Each row is a command that a test gives a bad input to, and what onnxq says. The test makes sure
that there is an error with a code and a fix, and that the command leaves every file as it was.
`make bad-inputs` writes this page; it has {count} bad inputs with {codes} codes.

| code | command | what onnxq says |
|---|---|---|
"""


def cell(text: str) -> str:
    """Text as a cell of a table, cut where it is long."""
    short = text if len(text) <= 160 else f"{text[:157]}..."
    return f"`{short.replace('`', chr(39)).replace('|', '¦')}`"


def page(noted: list[dict[str, str]]) -> str:
    """The page of the commands that were refused."""
    rows = {}
    for row in noted:
        place, _, words = row["message"].partition("error[")
        code, _, message = words.partition("]: ")
        rows.setdefault((code, place + message), row["command"])
    count, codes = len(rows), len({code for code, _ in rows})
    lines = [f"| {code} | {cell(rows[code, m])} | {cell(m)} |" for code, m in sorted(rows)]
    return HEAD.format(count=count, codes=codes) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    noted = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    PAGE.write_text(page(noted))
