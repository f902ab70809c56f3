import numpy as np
import pytest
from PIL import Image

from onnxq.diagnostics import OnnxqError
from onnxq.feeds.preprocess import Preprocess, load

RAW = {"divide": 1.0}


def solid(width, height, color=(10, 20, 30)):
    return Image.new("RGB", (width, height), color)


def applied(picture, shape=(1, 3, 8, 8), **options):
    return Preprocess(**{**RAW, **options}).apply(picture, shape)


def test_letterbox_in_the_middle():
    found = applied(solid(8, 4), resize="letterbox")
    assert found.shape == (1, 3, 8, 8)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[0, 0, 2:6], 10)
    np.testing.assert_array_equal(found[0, 0, [0, 1, 6, 7]], 114)


def test_letterbox_at_the_top_left():
    found = applied(solid(4, 8), resize="letterbox", anchor="top_left", pad=7)
    np.testing.assert_array_equal(found[0, 2, :, :4], 30)
    np.testing.assert_array_equal(found[0, 2, :, 4:], 7)


def test_stretch_fills_everything():
    found = applied(solid(2, 30), resize="stretch")
    for channel, value in enumerate((10, 20, 30)):
        np.testing.assert_array_equal(found[0, channel], value)


def halves():
    """Red on the left, green in the middle two quarters, blue on the right."""
    picture = solid(80, 40, (0, 255, 0))
    picture.paste((255, 0, 0), (0, 0, 20, 40))
    picture.paste((0, 0, 255), (60, 0, 80, 40))
    return picture


def test_crop_takes_the_centre():
    found = applied(halves(), resize="crop", crop_ratio=1.0)
    np.testing.assert_array_equal(found[0, 1, :, 1:7], 255)
    np.testing.assert_array_equal(found[0, 0, :, 1:7], 0)


def test_crop_ratio_is_of_the_short_side():
    ramp = Image.fromarray(np.tile(np.arange(256, dtype=np.uint8), (256, 1)))
    found = applied(ramp, (1, 1, 128, 128), resize="crop", crop_ratio=0.5)[0, 0, 0]
    np.testing.assert_array_equal(found, np.arange(64, 192))


def test_bgr_turns_the_channels_round():
    np.testing.assert_array_equal(applied(solid(8, 8), color="BGR")[0, :, 0, 0], [30, 20, 10])


def test_nhwc():
    found = applied(solid(8, 8), (1, 8, 8, 3))
    assert found.shape == (1, 8, 8, 3)
    np.testing.assert_array_equal(found[0, 3, 5], [10, 20, 30])


def test_the_layout_can_be_said():
    found = applied(solid(3, 3), (1, 3, 3, 3), layout="NHWC")
    np.testing.assert_array_equal(found[0, 1, 2], [10, 20, 30])
    found = applied(solid(3, 3), (1, 3, 3, 3), layout="NCHW")
    np.testing.assert_array_equal(found[0, :, 1, 2], [10, 20, 30])


@pytest.mark.parametrize("dtype", ["float16", "uint8"])
def test_other_types(dtype):
    found = Preprocess(**RAW).apply(solid(8, 8), (1, 3, 8, 8), dtype)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found[0, :, 1, 2], [10, 20, 30])


@pytest.mark.parametrize(
    ("options", "shape", "dtype", "told"),
    [
        ({"layout": "NCHW"}, (1, 8, 8, 3), "float32", "1x8x8x3"),
        ({"dtype": "uint8"}, (1, 3, 8, 8), "float32", "gives uint8"),
        ({}, (1, 3, 8, 8), "uint8", "fractions"),
        ({"divide": 1, "mean": 0.5}, (1, 3, 8, 8), "uint8", "fractions"),
    ],
)
def test_what_does_not_fit_the_model(options, shape, dtype, told):
    with pytest.raises(OnnxqError, match=told):
        Preprocess(**options).require_fit(shape, np.dtype(dtype))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path, orientation):
    upright = halves().resize((16, 8), Image.Resampling.NEAREST)
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the transposition that EXIF then undoes
    stored = upright if orientation == 1 else upright.transpose(undo[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "p.png", exif=exif)
    with Image.open(tmp_path / "p.png") as picture:
        found = applied(picture, (1, 3, 8, 16), resize="stretch")
    np.testing.assert_array_equal(found, applied(upright, (1, 3, 8, 16), resize="stretch"))


@pytest.mark.parametrize("shape", [(1, 1, 8, 8), (1, 8, 8, 1)])
def test_one_channel_is_grey(shape):
    found = applied(solid(8, 8, (100, 100, 100)), shape)
    assert found.shape == shape
    np.testing.assert_array_equal(found, 100)


def test_a_grey_picture_fills_three_channels():
    np.testing.assert_array_equal(applied(Image.new("L", (8, 8), 50))[0, :, 4, 4], [50, 50, 50])


def test_sixteen_bits_are_scaled_and_not_clipped():
    deep = Image.fromarray(np.full((8, 8), 0x8000, np.uint16))
    np.testing.assert_array_equal(applied(deep), 128)


def test_height_and_width_are_not_mixed_up():
    assert applied(solid(50, 20), (1, 3, 4, 12), resize="stretch").shape == (1, 3, 4, 12)
    assert applied(solid(50, 20), (1, 4, 12, 3), resize="letterbox").shape == (1, 4, 12, 3)


def test_divide_mean_and_std_in_the_order_of_color():
    options = {"divide": 10, "mean": [1, 2, 3], "std": [0.5, 1, 2]}
    np.testing.assert_allclose(applied(solid(8, 8), **options)[0, :, 0, 0], [0, 0, 0])
    bgr = applied(solid(8, 8), color="BGR", **options)[0, :, 0, 0]
    np.testing.assert_allclose(bgr, [(3 - 1) / 0.5, 0, (1 - 3) / 2])


@pytest.mark.parametrize("size", [(1, 1000), (1000, 1), (1, 1)])
@pytest.mark.parametrize("resize", ["letterbox", "stretch", "crop"])
def test_extreme_sizes(size, resize):
    assert applied(solid(*size), resize=resize).shape == (1, 3, 8, 8)


@pytest.mark.parametrize("name", ["yolo", "yolox", "imagenet", "unit", "ppocr"])
def test_shipped_preprocessings(name):
    found = load(name).apply(solid(30, 20), (1, 3, 16, 16))
    assert np.isfinite(found).all()
    assert load(f"{name}.yaml") == load(name)


def test_imagenet_is_what_torchvision_does():
    found = load("imagenet").apply(solid(256, 256, (255, 0, 128)), (1, 3, 224, 224))
    mean, std = np.float64([0.485, 0.456, 0.406]), np.float64([0.229, 0.224, 0.225])
    expected = (np.float64([255, 0, 128]) / 255 - mean) / std
    np.testing.assert_allclose(found[0, :, 100, 100], expected, rtol=1e-5)


def test_more_numbers_than_channels():
    with pytest.raises(OnnxqError) as caught:
        Preprocess(mean=[1, 2, 3]).require_fit((1, 1, 8, 8), np.dtype(np.float32))
    assert caught.value.diagnostics[0].code == "OQ406"
    Preprocess(mean=[1, 2, 3]).require_fit((1, 8, 8, 3), np.dtype(np.float32))
    Preprocess(mean=[1]).require_fit((1, 1, 8, 8), np.dtype(np.float32))


def test_a_turned_camera_gives_an_upright_picture():
    pixels = np.zeros((4, 8, 3), np.uint8)
    pixels[:, :4] = 255
    turned = Image.fromarray(pixels)
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned clockwise by 90 degrees
    turned.info["exif"] = exif.tobytes()
    import io

    stored = io.BytesIO()
    turned.save(stored, "png", exif=exif)
    stretch = Preprocess(resize="stretch")
    upright = stretch.apply(Image.open(stored), (1, 3, 8, 4))
    assert upright[0, 0, :4].min() == 1
    assert upright[0, 0, 4:].max() == 0


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_known_range_are_refused(mode):
    with pytest.raises(ValueError, match="known range"):
        Preprocess().apply(Image.new(mode, (4, 4)), (1, 3, 4, 4))
