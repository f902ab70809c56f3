"""Write the tables of docs/reliability.md from what was run: python fuzz/page.py."""

import json
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reliability.md"
FUZZED, KILLED = HERE / "tally.json", HERE / "kills.json"


def fuzzers() -> str:
    """A row a target: the time, the executions, the corpus, what was found."""
    tally = json.loads(FUZZED.read_text())
    rows = [
        "| target | minutes | executions | corpus | found and mended |",
        "|---|---|---|---|---|",
    ]
    for name, figures in sorted(tally.items()):
        minutes = figures["seconds"] / 60
        cases = len(list((HERE / "corpus" / name).glob("broken*")))
        cells = (f"{minutes:,.0f}", f"{figures['executions']:,}", f"{figures['corpus']:,}", cases)
        rows.append(f"| {name} | {' | '.join(map(str, cells))} |")
    hours = sum(figures["seconds"] for figures in tally.values()) / 3600
    return "\n".join([*rows, "", f"Together {hours:.1f} hours of one core."])


def kills() -> str:
    """A row a verb: how often it was killed."""
    table = json.loads(KILLED.read_text())
    rows = ["| verb | kills |", "|---|---|", *(f"| `{v}` | {n} |" for v, n in table.items())]
    return "\n".join([*rows, "", f"Together {sum(table.values())}."])


def text() -> str:
    """The page with its tables made anew; what stands between the marks is replaced."""
    page = PAGE.read_text()
    for name, table in (("fuzzers", fuzzers()), ("kills", kills())):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{table}\n\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(text())
