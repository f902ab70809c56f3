"""The data that --data and the options beside it ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

from onnxq.cli import options

if TYPE_CHECKING:
    from onnxq.cli.screen import Screen
    from onnxq.feeds import DataRequest, Feed


def request(
    source: str,
    preprocess_name: str | None,
    shapes: Mapping[str, tuple[int, ...]],
    selection: options.Selection,
    *,
    recorded: str = "",
    calibrated: Mapping[str, tuple[int, ...]] | None = None,
) -> DataRequest:
    """What the options ask for.

    `recorded` and `calibrated` are the preprocessing and the input shapes of the calibration.
    """
    from onnxq import feeds
    from onnxq.feeds import preprocess

    named = preprocess.load(preprocess_name) if preprocess_name else None
    return feeds.DataRequest(
        source=source,
        shapes=shapes,
        otherwise_shapes=calibrated or {},
        preprocess=named,
        otherwise=preprocess.from_json(recorded) if recorded and named is None else None,
        **asdict(selection),
    )


def tell(screen: Screen, feed: Feed, name: str | None, *, recorded: bool = False) -> None:
    """Print how pictures become inputs, and whether somebody chose that, and their size."""
    from onnxq.feeds.preprocess import DEFAULT
    from onnxq.feeds.samples import shape_text

    if feed.preprocess is not None:
        default = f"{DEFAULT}, the default; --preprocess changes it"
        chosen = name or ("as calibrated" if recorded else default)
        screen.out.print(f"preprocess: {feed.preprocess} ({chosen})")
    for filled, (batch, *sizes) in feed.filled.items():
        shape = shape_text((batch or feed.batch.size, *sizes))
        screen.out.print(f"shape: {filled}:{shape} (as calibrated)")
