"""Work that several test processes need is done by the first of them.

After https://pytest-xdist.readthedocs.io/en/stable/how-to.html, "Making session-scoped fixtures
execute only once".
"""

import os
import shutil

from filelock import FileLock


def made_once(tmp_path_factory, name, make):
    """A folder of that name that `make` has filled; all test processes read the same one."""
    root = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        root = root.parent  # that of a worker is its own
    folder = root / name
    with FileLock(root / f"{name}.lock"):
        if not (root / f"{name}.made").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (root / f"{name}.made").touch()
    return folder
