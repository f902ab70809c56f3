"""Record what `.ci/versions` has found for a set of versions: python fuzz/versions.py SET JUNIT.

It is run by the Python of the environment that was tested; the figures go into fuzz/versions.json.
"""

import importlib.metadata
import json
import platform
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

TALLY = Path(__file__).with_name("versions.json")
NAMES = re.compile(r"^([\w-]+)==", re.MULTILINE)


def main(constraints: str, junit: str) -> None:
    """Add the set to the tally, in place of what an earlier run found."""
    (suite,) = ElementTree.parse(junit).getroot().iter("testsuite")
    names = NAMES.findall(Path(constraints).read_text())
    tally = json.loads(TALLY.read_text()) if TALLY.exists() else {}
    tally[Path(constraints).stem] = {
        "python": platform.python_version(),
        "tests": int(suite.attrib["tests"]),
        "failed": int(suite.attrib["failures"]) + int(suite.attrib["errors"]),
        "versions": {name: importlib.metadata.version(name) for name in names},
    }
    TALLY.write_text(json.dumps(tally, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
