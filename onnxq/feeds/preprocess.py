"""Picture -> input tensor, by a small YAML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray
from PIL import Image, ImageOps
from pydantic import BaseModel, ConfigDict, Field, field_validator

from onnxq import shipped, yaml_source
from onnxq.diagnostics import error
from onnxq.feeds.samples import shape_text
from onnxq.validation import validate

DEFAULT: Final = "yolo"
DTYPES: Final = ("float32", "float16", "uint8")  # of inputs that pictures can fill
Channels = float | list[float]


class Preprocess(BaseModel):
    """How pictures become tensors: (pixel / divide - mean) / std, after resizing.

    `letterbox` keeps the aspect ratio and fills the rest with `pad`: on both sides, or opposite the
    `anchor`. `stretch` does not keep it. `crop` scales the picture so that the model's side is
    `crop_ratio` of its short side, and takes the centre. `mean` and `std` are one number, or one
    per channel in the order of `color`. `layout` and `dtype` are the model's by default.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    resize: Literal["letterbox", "stretch", "crop"] = "letterbox"
    anchor: Literal["center", "top_left"] = "center"
    pad: Annotated[int, Field(ge=0, le=255)] = 114
    crop_ratio: Annotated[float, Field(gt=0, le=1)] = 0.875
    color: Literal["RGB", "BGR"] = "RGB"
    divide: Annotated[float, Field(gt=0)] = 255.0
    mean: Channels = 0.0
    std: Channels = 1.0
    layout: Literal["NCHW", "NHWC"] | None = None
    dtype: Literal["float32", "float16", "uint8"] | None = None

    @field_validator("mean", "std")
    @classmethod
    def _one_a_channel(cls, value: Channels) -> Channels:
        if isinstance(value, list) and len(value) not in (1, 3):
            raise ValueError("neither 1 nor 3 numbers; give one, or one per channel")
        return value

    @field_validator("std")
    @classmethod
    def _divides(cls, value: Channels) -> Channels:
        if 0 in (value if isinstance(value, list) else [value]):
            raise ValueError("the pixels cannot be divided by 0; give another number")
        return value

    def __str__(self) -> str:
        parts = [self.resize, self.color, f"/{self.divide:g}"]
        if self.mean != 0:
            parts.append(f"mean {_shown(self.mean)}")
        if self.std != 1:
            parts.append(f"std {_shown(self.std)}")
        parts += [part for part in (self.layout, self.dtype) if part]
        return ", ".join(parts)

    def require_fit(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        """Raise OQ406 unless pictures so preprocessed can be an input of that shape and type."""
        channels = shape[self._channel_axis(shape)]
        if channels not in (1, 3):
            raise error(
                "OQ406",
                f"the preprocessing says {self.layout}, and the model's input is "
                f"{shape_text(shape)}",
                fix="correct 'layout', or leave it out",
            )
        if self.dtype not in (None, str(dtype)):
            raise error(
                "OQ406",
                f"the preprocessing gives {self.dtype}, and the model's input is {dtype}",
                fix="correct 'dtype', or leave it out",
            )
        if dtype.kind == "u" and (self.divide, self.mean, self.std) != (1, 0, 1):
            raise error(
                "OQ406",
                f"the model's input is {dtype}, and the preprocessing gives fractions: {self}",
                fix="give --preprocess a file with 'divide: 1' and no mean and std",
            )
        for key, value in (("mean", self.mean), ("std", self.std)):
            if isinstance(value, list) and len(value) not in (1, channels):
                raise error(
                    "OQ406",
                    f"the preprocessing has {len(value)} numbers in '{key}', and the model's "
                    f"pictures have {channels} channels",
                    fix="give one number, or choose another --preprocess",
                )

    def _channel_axis(self, shape: tuple[int, ...]) -> int:
        layout = self.layout or ("NCHW" if shape[1] in (1, 3) else "NHWC")
        return layout.index("C")

    def apply(
        self,
        picture: Image.Image,
        shape: tuple[int, ...],
        dtype: npt.DTypeLike = np.float32,
    ) -> NDArray[Any]:
        """Return an array of `shape`, which is 1xCxHxW or 1xHxWxC with C of 1 or 3."""
        axis = self._channel_axis(shape)
        channels, (height, width) = shape[axis], (shape[1:3] if axis == 3 else shape[2:])
        upright = _eight_bits(ImageOps.exif_transpose(picture))
        picture = upright.convert("L" if channels == 1 else "RGB")
        pixels = np.asarray(self._resized(picture, width, height), np.float32)
        pixels = pixels.reshape(height, width, channels)
        if self.color == "BGR":
            pixels = pixels[:, :, ::-1]
        mean, std = np.asarray(self.mean, np.float32), np.asarray(self.std, np.float32)
        pixels = (pixels / np.float32(self.divide) - mean) / std
        if axis == 1:
            pixels = pixels.transpose(2, 0, 1)
        return np.ascontiguousarray(pixels[None], dtype)

    def _resized(self, picture: Image.Image, width: int, height: int) -> Image.Image:
        if self.resize == "stretch":
            return picture.resize((width, height), Image.Resampling.BILINEAR)
        if self.resize == "crop":
            return self._cropped(picture, width, height)
        ratio = min(width / picture.width, height / picture.height)
        inner = (max(round(picture.width * ratio), 1), max(round(picture.height * ratio), 1))
        fill = self.pad if picture.mode == "L" else (self.pad,) * 3
        canvas = Image.new(picture.mode, (width, height), fill)
        free = (width - inner[0], height - inner[1])
        at = (0, 0) if self.anchor == "top_left" else (free[0] // 2, free[1] // 2)
        canvas.paste(picture.resize(inner, Image.Resampling.BILINEAR), at)
        return canvas

    def _cropped(self, picture: Image.Image, width: int, height: int) -> Image.Image:
        ratio = max(width / picture.width, height / picture.height) / self.crop_ratio
        inner = (
            max(round(picture.width * ratio), width),
            max(round(picture.height * ratio), height),
        )
        left, top = (inner[0] - width) // 2, (inner[1] - height) // 2
        resized = picture.resize(inner, Image.Resampling.BILINEAR)
        return resized.crop((left, top, left + width, top + height))


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Scale 16-bit grey, which `convert` would clip at 255; refuse modes without a known range."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode == "P" and "transparency" in picture.info:
        return picture.convert("RGBA")  # as Pillow wants it; transparency is dropped then
    if picture.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {picture.mode} have no known range; save 8 or 16 bits")
    return picture


def _shown(value: Channels) -> str:
    return ", ".join(f"{v:g}" for v in (value if isinstance(value, list) else [value]))


def find(name: str) -> tuple[Path, str]:
    """Return a preprocessing's path and the name to show: a file, else a shipped one (OQ406)."""
    known = shipped.preprocessings()
    return shipped.find(name, known, what="preprocessing", code="OQ406", beside=Path())


def load(name: str) -> Preprocess:
    """Load a preprocessing by file or by the name of a shipped one (OQ406)."""
    path, shown = find(name)
    keys = tuple(Preprocess.model_fields)
    return validate(Preprocess, yaml_source.read(path, shown_as=shown), lambda path: keys)


def from_json(text: str) -> Preprocess:
    """Read a preprocessing as a calibration or a Q/DQ model records it (OQ406)."""
    try:
        return Preprocess.model_validate_json(text)
    except ValueError:
        raise error(
            "OQ406",
            "the recorded preprocessing cannot be read",
            fix="name one with --preprocess",
        ) from None
