import subprocess
import sys

import pytest

CHECK = """
import pkgutil, random, sys
from importlib import import_module
from types import ModuleType
import onnxq

order = sys.argv[1]
modules = [m.name for m in pkgutil.walk_packages(onnxq.__path__, "onnxq.")]
modules = [name for name in modules if not name.endswith("__main__")]
if order == "shuffled":
    random.Random(1).shuffle(modules)
before = {name: getattr(onnxq, name) for name in onnxq.__all__} if order == "names first" else {}
for name in modules:
    import_module(name)
for name in onnxq.__all__:
    value = getattr(onnxq, name)
    assert not isinstance(value, ModuleType), f"onnxq.{name} is a module"
    assert value is before.get(name, value), f"onnxq.{name} changed"
    assert callable(value), f"onnxq.{name} is not a function or a class"
print(len(modules), len(onnxq.__all__))
"""


@pytest.mark.parametrize("order", ["shuffled", "names first"])
def test_public_names_are_the_same_whatever_was_imported(order):
    done = subprocess.run(
        [sys.executable, "-c", CHECK, order], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    modules, names = map(int, done.stdout.split())
    assert modules > 100
    assert names
