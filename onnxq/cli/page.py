"""--html: the report as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from onnxq.cli import paths
from onnxq.diagnostics import Diagnostic, error, warning

if TYPE_CHECKING:
    from onnxq.calibration.statistics import Statistics
    from onnxq.verification import VerifyReport
    from onnxq.verification.origins import Sources
    from onnxq.verification.thresholds import Thresholds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """Q/DQ models, the float model that they are compared with, and what made them.

    `name` is what the report calls the float model, by default its path; `shapes` are those of
    inputs to compile for where there are no samples.
    """

    model: Path
    name: Path | None = None
    qdq: Sequence[Path]
    calibrations: Sequence[Statistics | None]
    sources: Sources
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)


def sources(
    html: Path | None, rules: list[str] | None, plans: list[Path] | None, read: Sequence[Path]
) -> Sources:
    """What may have made the models, once it is sure that the page can be written.

    Raises OQ671 for options that only it needs, and what `require` and reading recipes raise.
    """
    from onnxq.planning import recipe
    from onnxq.verification.origins import Sources

    if html is None and (rules or plans):
        raise error(
            "OQ671",
            "--rules and --plan tell the page what decided, and there is no --html",
            fix="give --html report.html too, or leave them out",
        )
    require(html, (*read, *map(Path, rules or ()), *(plans or ())))
    return Sources(
        recipes=tuple(recipe.load(name) for name in rules or ()), plans=tuple(plans or ())
    )


def require(html: Path | None, read: Sequence[Path | None]) -> None:
    """Make sure that the page can be written: OQ670 without what draws it, OQ501, OQ502."""
    if html is not None:
        from onnxq.render.html import require

        require()
        paths.output(html, read, option="--html")


def write(
    html: Path,
    report: VerifyReport,
    subject: Subject,
    least: Thresholds,
    found: Sequence[Diagnostic],
) -> tuple[Diagnostic, ...]:
    """Write the page, whole or not at all; OQ672 where what was given made none of the models."""
    from onnxq.files import whole_file
    from onnxq.render.html import page
    from onnxq.verification.origins import origin

    origins = [
        origin(subject.model, path, calibration, subject.sources)
        for path, calibration in zip(subject.qdq, subject.calibrations, strict=True)
    ]
    more: tuple[Diagnostic, ...] = ()
    if subject.sources.named and not any(known.plan for known in origins):
        told = "none of the models was made by what --rules and --plan name, as far as they record"
        fix = "give the recipe or the plan that made them, for the float model that you gave"
        more = (warning("OQ672", told, fix=fix),)
    text = page(report, origins, least, (*found, *more))
    with whole_file(html) as part:
        part.write_text(text, encoding="utf-8")
    return more
