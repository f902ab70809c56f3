"""Pages from their templates: one file, readable without a network and without scripts."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from onnxq.diagnostics import BackendMissingError, Diagnostic
from onnxq.render.calibrations import short_count
from onnxq.render.text import figure, one_line, share

_FOLDER: Final = Path(__file__).parent
_PACKAGES: Final = ("fast_sugiyama", "jinja2", "vl_convert")


def require() -> None:
    """Raise BackendMissingError (OQ670) if a package that draws pages is not installed."""
    missing = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        raise BackendMissingError(
            Diagnostic(
                code="OQ670",
                message=f"--html needs {' and '.join(missing)}, which is not installed",
                fix="pip install 'onnxq[html]'",
            )
        )


def rendered(
    template: str,
    *,
    scripts: Sequence[str] = ("page.js",),
    styles: Sequence[str] = ("page.css",),
    **values: Any,
) -> str:
    """The page of a template with values.

    Names from models are untrusted: the template escapes all text, and the page's policy allows no
    script but its own.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    filters = {"figure": _figure, "name": one_line, "count": short_count, "share": share}
    environment.filters.update(filters, capital=lambda text: text[:1].upper() + text[1:])
    script = _joined(scripts)
    return environment.get_template(template).render(
        style=Markup(_joined(styles)),
        script=Markup(script),
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        Markup=Markup,
        **values,
    )


def _joined(files: Sequence[str]) -> str:
    return "\n".join((_FOLDER / file).read_text(encoding="utf-8") for file in files)


def _figure(value: float | None, form: str = ".2f") -> str:
    return figure(value, form)
