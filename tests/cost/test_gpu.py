import pytest

from onnxq.cost.gpu import Gpu, load, shipped
from onnxq.diagnostics import OnnxqError

SLOW = "name: a board\nbandwidth: 100\nfp32: 2\n"


def codes(name):
    with pytest.raises(OnnxqError) as refused:
        load(name)
    return [d.code for d in refused.value.diagnostics], str(refused.value)


def test_the_shipped_gpus():
    names = {"orin", "l4", "t4", "a10", "a100", "h100", "rtx4090", "rtx5090"}
    assert names <= shipped().keys()


@pytest.mark.parametrize("name", shipped())
def test_every_row_has_a_source_and_dense_peaks(name):
    gpu = load(name)
    assert gpu.source.startswith(("https://www.nvidia.com/", "https://images.nvidia.com/"))
    # NVIDIA's tensor cores: int8 twice as fast as fp16, to the rounding of the data sheets
    assert gpu.int8 / gpu.fp16 == pytest.approx(2, rel=0.02)
    assert gpu.fp8 in (None, gpu.int8)
    assert gpu.fp16 > gpu.peak("fp32") >= gpu.fp32


def test_names_in_any_case():
    assert load("L4") is load("l4")


def test_a_gpu_of_ones_own(tmp_path):
    path = tmp_path / "board.yaml"
    path.write_text(SLOW)
    gpu = load(path)
    assert gpu == Gpu(name="a board", bandwidth=100, fp32=2)
    assert gpu.memory_seconds(100) == 1e-9
    # without units for it, int8 is as fast as float
    assert gpu.product_seconds({"int8": 10**12, "fp32": 10**12}) == 2


def test_types_that_a_gpu_lacks():
    gpu = Gpu(name="g", bandwidth=1, int8=8, fp16=4, tf32=2, fp32=1)
    peaks = {t: gpu.peak(t) for t in ("int8", "fp8", "fp16", "bf16", "fp32")}
    assert peaks == {"int8": 8, "fp8": 4, "fp16": 4, "bf16": 4, "fp32": 2}


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        (f"{SLOW}fp17: 3\n", "OQ103", "'fp16'"),
        (SLOW.replace("bandwidth: 100\n", ""), "OQ104", "'bandwidth' is missing"),
        (f"{SLOW}int8: 0\n", "OQ104", "more than 0"),
        (f"{SLOW}int8: fast\n", "OQ104", "a number"),
        ("- l4\n", "OQ104", ""),
    ],
)
def test_a_file_with_a_mistake(text, code, words, tmp_path):
    path = tmp_path / "board.yaml"
    path.write_text(text)
    found, message = codes(path)
    assert found == [code]
    assert words in message


def test_an_unknown_name():
    found, message = codes("rtx409")
    assert found == ["OQ690"]
    assert "did you mean 'rtx4090'" in message
