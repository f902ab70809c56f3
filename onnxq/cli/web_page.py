"""verify --html: the report as a page, and the options that only this needs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from onnxq.cli import options
from onnxq.diagnostics import Diagnostic, error, warning

if TYPE_CHECKING:
    from onnxq.calibration.statistics import Statistics
    from onnxq.verify import VerifyReport
    from onnxq.verify.origins import Sources
    from onnxq.verify.thresholds import Thresholds

_PANEL: Final = "Page"
Html = Annotated[
    Path | None,
    typer.Option(
        "--html",
        metavar="FILE",
        help="Write the report as one page with charts, which loads nothing.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Rules = Annotated[
    list[str] | None,
    typer.Option(
        "--rules",
        metavar="NAME|FILE",
        help="A recipe that made one of the models, so that the page has its decisions; shipped "
        "ones are found.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]
Plans = Annotated[
    list[Path] | None,
    typer.Option(
        "--plan",
        metavar="FILE",
        help="Likewise a saved plan.",
        show_default=False,
        rich_help_panel=_PANEL,
    ),
]


def sources(
    html: Path | None,
    rules: list[str] | None,
    plans: list[Path] | None,
    *,
    read: Sequence[Path],
) -> Sources:
    """What may have made the models, once it is sure that the page can be written.

    Raises OQ670 without what draws it, OQ671 for options that only it needs, OQ501, OQ502 and what
    reading recipes raises.
    """
    from onnxq.planning import recipe
    from onnxq.verify.origins import Sources

    if html is None:
        if rules or plans:
            raise error(
                "OQ671",
                "--rules and --plan tell the page what decided, and there is no --html",
                fix="give --html report.html too, or leave them out",
            )
        return Sources()
    from onnxq.render.html import require

    require()
    named = [Path(r) for r in rules or ()]
    options.output_path(html, *read, *named, *(plans or ()), option="--html")
    return Sources(
        recipes=tuple(recipe.load(name) for name in rules or ()), plans=tuple(plans or ())
    )


def write(
    html: Path,
    report: VerifyReport,
    calibrations: Sequence[Statistics | None],
    given: Sources,
    least: Thresholds,
    found: Sequence[Diagnostic],
) -> tuple[Diagnostic, ...]:
    """Write the page, whole or not at all; OQ672 where what was given made none of the models."""
    from onnxq.files import whole_file
    from onnxq.render.html import page
    from onnxq.verify.origins import origin

    each = zip(report.models, calibrations, strict=True)
    origins = [
        origin(report.float_model, model.model, calibration, given) for model, calibration in each
    ]
    more: tuple[Diagnostic, ...] = ()
    if (given.recipes or given.plans) and not any(known.plan for known in origins):
        told = "none of the models was made by what --rules and --plan name, as far as they record"
        fix = "give the recipe or the plan that made them, for the float model that you gave"
        more = (warning("OQ672", told, fix=fix),)
    text = page(report, origins, least, (*found, *more))
    with whole_file(html) as part:
        part.write_text(text, encoding="utf-8")
    return more
