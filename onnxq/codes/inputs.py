"""OQ3xx, OQ4xx and OQ5xx: the model, the data, calibration, scales, and what is written."""

from typing import Final

from onnxq.codes.code import Code

INPUTS: Final[dict[str, Code]] = {
    "OQ301": Code(
        meaning="The model file, or a file of external data that it names, does not exist or "
        "cannot be read.",
        example="onnxq calibrate modle.onnx --data imgs/",
        fix="Correct the path; keep external data beside the model.",
    ),
    "OQ302": Code(
        meaning="The file is not an ONNX model, or a damaged one.",
        example="onnxq plan model.pt",
        fix="Export the model to ONNX, or copy it again; `onnx.checker` says what is wrong.",
    ),
    "OQ303": Code(
        meaning="The model has QuantizeLinear and DequantizeLinear nodes already, and it was not "
        "said what should become of them.",
        example="onnxq insert model.qdq.onnx",
        fix="Give the float model that it was made from; else `--existing keep` plans around the "
        "pairs it has, and `--existing strip` works on the float model under it.",
    ),
    "OQ304": Code(
        meaning="The model's opset is older than 13, the first with per-channel Q/DQ, and onnx "
        "cannot convert it, mostly for an operator of another domain.",
        example="a model of opset 11 with com.microsoft operators",
        fix="Export it again with opset 13 or newer.",
    ),
    "OQ305": Code(
        meaning="onnxruntime, which runs the model for calibration and comparison, cannot load it "
        "or fails on a sample.",
        example="a model with an operator that only TensorRT has a plugin for",
        fix="Check the model with `python -m onnx.checker`; give dynamic sizes with `--shape`.",
    ),
    "OQ306": Code(
        meaning="The model has no float32 or float16 activation that onnxq could quantize, so "
        "there is nothing to calibrate. An export in bfloat16 is the usual reason.",
        example="onnxq calibrate model_bf16.onnx --data imgs/",
        fix="Give the FP32 or FP16 export of the model.",
    ),
    "OQ307": Code(
        meaning="A model given to a function of the library holds over 2 GB in memory, more than "
        "protobuf can handle. The commands take models of any size.",
        example='onnxq.model.io.prepare(onnx.load("large.onnx"))',
        fix="Read it with `onnxq.load_model`, which leaves large weights in their files.",
    ),
    "OQ401": Code(
        meaning="The data does not exist, or holds nothing that can be read.",
        example="onnxq calibrate model.onnx --data pictures/    # there is only imgs/",
        fix="Give a folder of pictures, or of .npy or .npz files, or one such file, the JSON of "
        "`polygraphy run --save-inputs`, or a Python file that yields samples.",
    ),
    "OQ402": Code(
        meaning="Files of the data cannot be read and were left out. The others were used.",
        example="a picture that was cut off while it was copied",
        fix="Replace the files or remove them.",
    ),
    "OQ403": Code(
        meaning="Names of inputs do not match: an array or a `--shape` names none of the model's "
        "inputs, or an input has no array.",
        example="np.savez('data.npz', image=...)    # the model's input is called images",
        fix="Save one array for each input, under its name.",
    ),
    "OQ404": Code(
        meaning="An array or a `--shape` does not fit the type or the shape of the model's input. "
        "onnxq converts nothing silently.",
        example="an array of 1x640x640x3 for an input of 1x3x640x640",
        fix="Save arrays of the input's type and shape, or several along the first axis.",
    ),
    "OQ405": Code(
        meaning="The size of an input is not fixed in the model, and pictures do not say it, or "
        "`--shape` cannot be read.",
        example="onnxq calibrate dynamic.onnx --data imgs/",
        fix="Give the sizes: `--shape images:1x3x640x640`.",
    ),
    "OQ406": Code(
        meaning="The preprocessing does not exist, or does not fit the model's pictures.",
        example="onnxq calibrate model.onnx --data imgs/ --preprocess yolo8",
        fix="Use a shipped one (`onnxq rules list`) or the path of a YAML file.",
    ),
    "OQ410": Code(
        meaning="There is no calibration to take scales from, or more than one to choose from.",
        example="onnxq insert --rules yolo    # in a folder without *.calib.npz",
        fix="Run `onnxq calibrate` first, or choose a file with `--calibration`.",
    ),
    "OQ411": Code(
        meaning="The calibration was made from another model, so its ranges are of other tensors. "
        "Models are compared by their content, not by their name.",
        example="onnxq insert new.onnx --calibration old.calib.npz",
        fix="Calibrate this model.",
    ),
    "OQ412": Code(
        meaning="The calibration file is damaged, or was written by another version of onnxq.",
        example="onnxq insert model.onnx --calibration data.npz",
        fix="Make it again with `onnxq calibrate`.",
    ),
    "OQ413": Code(
        meaning="The rules quantize a tensor that the calibration did not observe, so its range is "
        "not known.",
        example="{match: {op: Relu}, quantize: {inputs: act}}    # calibrated without --rules",
        fix="Calibrate with `--rules` and this recipe.",
    ),
    "OQ414": Code(
        meaning="A tensor had no value, or none far enough from zero, that its scale could come "
        "from; the scale is set to 1.",
        example="a branch that the calibration data never uses",
        fix="Add data that uses it, or skip it in the recipe.",
    ),
    "OQ415": Code(
        meaning="A tensor had NaN or infinite values. They were left out of its range, and INT8 "
        "has nothing for them.",
        example="a mask of -inf that is added to scores",
        fix="Skip the tensor in the recipe, or correct the model or the data.",
    ),
    "OQ416": Code(
        meaning="A method needs a histogram, and the calibration kept only ranges.",
        example="onnxq calibrate model.onnx --data imgs/ --calibrator max    # then method: mse",
        fix="Calibrate without `--calibrator max`, or use `method: max`.",
    ),
    "OQ417": Code(
        meaning="A weight has NaN or infinite values and cannot be quantized.",
        example="a model exported from a training that diverged",
        fix="Correct the model, or skip the weight in the recipe.",
    ),
    "OQ418": Code(
        meaning="Two calibrations cannot be added: they come from different models, shapes, "
        "calibrators or preprocessings.",
        example="onnxq calib merge yolo.calib.npz resnet.calib.npz -o all.npz",
        fix="Add calibrations that were made alike from one model.",
    ),
    "OQ419": Code(
        meaning="A scale cannot be looked up or replaced in Python: no pair has that tensor or "
        "consumer node, the scale is not a positive finite number or does not have the shape of "
        "the present one, or tensors that share one scale are given two.",
        example='scales.replaced({"images": 0.0})',
        fix="The message names the tensor; `print(scales)` lists all, with their scales.",
    ),
    "OQ420": Code(
        meaning="Options on the data contradict each other, the data or the model.",
        example="onnxq calibrate model.onnx --data imgs/ --batch 4    # the model takes 1",
        fix="The message names the option; `onnxq calibrate --help` says what each does.",
    ),
    "OQ421": Code(
        meaning="A Python file given as data has no such function or iterable, or what it has "
        "yields nothing that can be gone through.",
        example="onnxq calibrate model.onnx --data loader.py:sampels",
        fix="Name a function without arguments that yields samples, or an iterable such as a "
        "DataLoader. Without a name it is `load_data`.",
    ),
    "OQ422": Code(
        meaning="A Python file given as data raised an exception. The line is the last one of "
        "that file.",
        example="def load_data(): yield {'images': missing}",
        fix="Correct the file.",
    ),
    "OQ423": Code(
        meaning="A Python file given as data yields something that is no tensor.",
        example="def load_data(): yield 'cat.jpg'",
        fix="Yield arrays or tensors: a dictionary by input name, a tuple in the order of the "
        "inputs, or one alone for a model with one input.",
    ),
    "OQ424": Code(
        meaning="The shape of an input differs between samples. Often that is a mistake in the "
        "data, so it needs a permission.",
        example="onnxq calibrate bert.onnx --data texts/    # 17 tokens, then 24",
        fix="Pad the samples to one shape, or give `--ragged`.",
    ),
    "OQ425": Code(
        meaning="The data has NaN, which would spoil every range, or infinite values, which no "
        "range covers. NaN is an error, infinite values are a warning: masks may mean them.",
        example="np.save('sample.npy', np.log(pixels))    # pixels of 0 and below",
        fix="Correct the data, or remove the samples.",
    ),
    "OQ426": Code(
        meaning="Samples were left out because they do not fill a batch, and the model takes only "
        "full ones. Samples are neither repeated nor invented.",
        example="onnxq calibrate model.onnx --data imgs/    # 43 pictures, batches of 10",
        fix="Add or remove samples, or export the model with a dynamic batch.",
    ),
    "OQ427": Code(
        meaning="The data has fewer samples than `--samples` asks for; all were used.",
        example="onnxq calibrate model.onnx --data imgs/ --samples 500    # 100 are there",
        fix="Add samples, or ask for fewer.",
    ),
    "OQ428": Code(
        meaning="`--data random` makes random samples, which serve to try the tools and nothing "
        "else. It is refused where a folder or file has that name.",
        example="onnxq calibrate model.onnx --data random",
        fix="Give real data; `./random` is the folder.",
    ),
    "OQ501": Code(
        meaning="The output cannot be written. Nothing is left behind: files appear whole or not "
        "at all.",
        example="onnxq insert -o /missing/model.qdq.onnx",
        fix="Choose another `-o`, or free some space.",
    ),
    "OQ502": Code(
        meaning="The output would overwrite an input, which onnxq never does, or another output of "
        "the command, or a calibration cache would replace a calibration made from data.",
        example="onnxq insert model.onnx -o model.onnx",
        fix="Give another `-o`.",
    ),
    "OQ503": Code(
        meaning="The Q/DQ model would be one that onnx.checker refuses, though the float model is "
        "valid. Nothing was written: this is a bug in onnxq.",
        example="none is known",
        fix="Report it with the model and the recipe.",
    ),
    "OQ530": Code(
        meaning="The model computes with integers in operators such as ConvInteger, QLinearConv or "
        "DynamicQuantizeLinear. TensorRT does not import them, and they are no pairs that could be "
        "kept or taken out.",
        example="a model that onnxruntime's quantize_dynamic wrote",
        fix="Give the float model that it was made from.",
    ),
    "OQ531": Code(
        meaning="The model that should be stripped has no Q/DQ pair.",
        example="onnxq strip model.onnx    # the float model",
        fix="Give the Q/DQ model; a float model needs no stripping.",
    ),
    "OQ532": Code(
        meaning="Some Q/DQ nodes stay when a model is stripped: they are in a function, or in a "
        "subgraph of another operator than If, Loop and Scan, or halves without the other, such as "
        "a DequantizeLinear of an integer input.",
        example="a model whose input is uint8 and goes to a DequantizeLinear",
        fix="Nothing, when they are the model's interface; else give the float model.",
    ),
    "OQ533": Code(
        meaning="A QuantizeLinear whose lowest integer stands for zero cuts off what is negative. "
        "onnxruntime leaves out a Relu before one; so a Relu takes its place when it is removed.",
        example="a model that onnxruntime's quantize_static wrote, with uint8 activations",
        fix="Compare with the float model, if you have it: a Clip leaves no other trace.",
    ),
    "OQ534": Code(
        meaning="A rule ties tensors whose pairs the model has already, with different scales. "
        "They are kept as they are, so the tie has no effect on them.",
        example="onnxq insert qat.onnx --existing keep    # with a Concat of unequal scales",
        fix="Strip the model (`--existing strip`) to let the rules place all pairs.",
    ),
    "OQ535": Code(
        meaning="The opset was raised to the first that has what pairs need, or local functions "
        "were put in the place of their calls, and since then the model computes something else, "
        "on a random sample in onnxruntime with optimizations off.",
        example="a linear Resize of opset 10, which has other coordinates since opset 11",
        fix="Export the model again with opset 13 or newer, 19 for FP8, 21 for INT4, and without "
        "local functions.",
    ),
    "OQ561": Code(
        meaning="The local functions of the model cannot be put in the place of their calls, so "
        "what they compute cannot be seen.",
        example="a function that calls itself",
        fix="Export the model again without local functions.",
    ),
}
