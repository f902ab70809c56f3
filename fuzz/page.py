"""Write the tables of docs/reliability.md from what was run: python fuzz/page.py."""

import json
from pathlib import Path

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reliability.md"
FUZZED, KILLED, LOADED, SETS = (
    HERE / f"{name}.json" for name in ("tally", "kills", "load", "versions")
)


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


def load() -> str:
    """A row a command: what it was given, and what it took."""
    rows = ["| load | command | exit | s | CPU s | MiB |", "|---|---|---|---|---|---|"]
    for case, commands in json.loads(LOADED.read_text()).items():
        for c in commands:
            several = f"{c['times']} times " if c["times"] > 1 else ""
            codes = ", ".join(map(str, c["exit_codes"]))
            figures = (f"{c['wall_s']:.0f}", f"{c['cpu_s']:.0f}", f"{c['peak_mib']:,}")
            cells = (case, f"{several}`{c['command']}`", codes, *figures)
            rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def versions() -> str:
    """A column a set of versions, a row a package."""
    sets = json.loads(SETS.read_text())
    rows = [f"| | {' | '.join(sets)} |", f"|---|{'---|' * len(sets)}"]
    rows += [
        f"| {what} | {' | '.join(str(of[what]) for of in sets.values())} |"
        for what in ("python", "tests", "failed")
    ]
    names = dict.fromkeys(name for of in sets.values() for name in of["versions"])
    for name in sorted(names):
        cells = (of["versions"].get(name, "") for of in sets.values())
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


TABLES = {"fuzzers": fuzzers, "kills": kills, "load": load, "versions": versions}


def text() -> str:
    """The page with its tables made anew; what stands between the marks is replaced."""
    page = PAGE.read_text()
    for name, table in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{table()}\n\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(text())
