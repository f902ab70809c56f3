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
        meaning="The file is not an ONNX model, or a damaged one, or its graph has no nodes or no "
        "outputs.",
        example="onnxq plan model.pt",
        fix="Export the model to ONNX, or copy it again; `onnx.checker` says what is wrong.",
    ),
    "OQ303": Code(
        meaning="The model has QuantizeLinear and DequantizeLinear nodes already, and the command "
        "was not told to keep or to remove them.",
        example="onnxq insert model.qdq.onnx",
        fix="Give the float model that it was made from; else `--existing keep` plans around its "
        "pairs, and `--existing strip` removes them first.",
    ),
    "OQ304": Code(
        meaning="The model's opset is older than 13, the first with per-channel Q/DQ, and onnx "
        "cannot convert the model, usually because of an operator of another domain.",
        example="a model of opset 11 with com.microsoft operators",
        fix="Export it again with opset 13 or newer.",
    ),
    "OQ305": Code(
        meaning="onnxruntime, which runs the model for calibration and comparison, cannot load it "
        "or fails on a sample.",
        example="a model with types that onnxruntime has no kernels for",
        fix="Check the model with `python -m onnx.checker`; give dynamic sizes with `--shape`.",
    ),
    "OQ306": Code(
        meaning="The model has no float32 or float16 activation that onnxq could quantize, so "
        "there is nothing to calibrate: it computes in bfloat16 or float64, or has no Conv, Gemm "
        "or MatMul, or all of these have pairs.",
        example="onnxq calibrate model_bf16.onnx --data imgs/",
        fix="Give the FP32 or FP16 export of the model.",
    ),
    "OQ307": Code(
        meaning="A model given to a function of the library holds over 2 GB in memory, more than "
        "protobuf can handle. The commands take models of any size.",
        example='onnxq.load(onnx.load("large.onnx"))',
        fix="Give `onnxq.load` the path instead, which leaves large weights in their files.",
    ),
    "OQ308": Code(
        meaning="onnx cannot infer types and shapes in the model, so only those that the file "
        "declares are known: rules on shapes match less, and MACs may be unknown.",
        example="a model that uses operators of a domain that it does not import",
        fix="Correct what the message names, or export the model again.",
    ),
    "OQ309": Code(
        meaning="A value that the model computes from constants alone cannot be computed, usually "
        "because the scales of a stored weight do not fit its shape.",
        example="DequantizeLinear of a weight of shape [6, 8] with 5 scales",
        fix="Correct the model; `onnxq lint` says which scales do not fit, and `--fix` repairs "
        "some.",
    ),
    "OQ310": Code(
        meaning="The model's opset is newer than 25, the newest that TensorRT takes, and onnx "
        "cannot lower the model to 25, usually because it has operators that opset 25 lacks.",
        example="a model of opset 28 with SwiGLU",
        fix="Export it again with opset 25 or older.",
    ),
    "OQ311": Code(
        meaning="The model was optimized for onnxruntime, by itself, onnxruntime.transformers, "
        "Olive or optimum: it has fused ops, or ops of blocked layouts, that TensorRT does not "
        "have.",
        example="FusedConv, SkipLayerNormalization or com.microsoft.nchwc::Conv",
        fix="Give the model as it was exported, before it was optimized.",
    ),
    "OQ320": Code(
        meaning="onnxruntime cannot load a library of custom ops: it is no such library, was built "
        "for another system or another onnxruntime, or lacks a library that it links to. The "
        "message quotes the loader.",
        example="onnxq calibrate model.onnx --data imgs/ --ort-library libplugins_trt.so",
        fix="Give a library that exports `RegisterCustomOps`. Plugins of TensorRT are another "
        "kind: `verify --plugin`.",
    ),
    "OQ321": Code(
        meaning="onnxruntime does not know an op of the model, such as a plugin of TensorRT or a "
        "custom op, so the tensors that are computed from its outputs cannot be observed. Those "
        "in front of it and beside it are. If the op is in a body of If, Loop or Scan, or in a "
        "function, the whole node is left out. It is an error when no tensor is left.",
        example="a model with my.domain::DeformableAttention in the middle",
        fix="Give its library with `--ort-library`, or leave what is behind it in float.",
    ),
    "OQ322": Code(
        meaning="The recipe quantizes ops behind an op that onnxruntime could not run in the "
        "calibration, so their ranges are not known and they stay in float.",
        example="onnxq insert --rules yolo    # after a calibration with OQ321",
        fix="Calibrate again with `--ort-library` and the library that has the op, or skip these "
        "ops in the recipe.",
    ),
    "OQ401": Code(
        meaning="The data does not exist, or has no sample that can be read.",
        example="onnxq calibrate model.onnx --data pictures/    # there is only imgs/",
        fix="Give a folder of pictures, or of .npy or .npz files, or one such file, the JSON of "
        "`polygraphy run --save-inputs`, or a Python file that yields samples. In Python, arrays "
        "and iterables of samples are data too.",
    ),
    "OQ402": Code(
        meaning="Some files of the data cannot be read and were left out. The others were used.",
        example="a picture that was cut off while it was copied",
        fix="Replace or remove the files.",
    ),
    "OQ403": Code(
        meaning="An array or a shape is given for a name that is not an input of the model, or an "
        "input has no array.",
        example="np.savez('data.npz', image=...)    # the model's input is called images",
        fix="Give one array for each input, under its name.",
    ),
    "OQ404": Code(
        meaning="An array or a given shape does not fit the type or the shape of the model's "
        "input. onnxq makes no conversion that could change values.",
        example="an array of 1x640x640x3 for an input of 1x3x640x640",
        fix="Give arrays of the input's type and shape; several samples go along the first axis.",
    ),
    "OQ405": Code(
        meaning="The size of an input is not fixed in the model, and the data (pictures or random "
        "samples) has no size of its own; or `--shape` cannot be read.",
        example="onnxq calibrate dynamic.onnx --data imgs/",
        fix="Give the size: `--shape images:1x3x640x640`.",
    ),
    "OQ406": Code(
        meaning="The preprocessing does not exist, or does not fit the model's input, or the data "
        "is not pictures.",
        example="onnxq calibrate model.onnx --data imgs/ --preprocess yolo8",
        fix="Use a shipped one (`onnxq rules list`) or the path of a YAML file.",
    ),
    "OQ407": Code(
        meaning="An input holds an index beyond the table that the model looks it up in, such as a "
        "token that its embedding does not have.",
        example="the token 30522 for an embedding of 30522 rows, which end at 30521",
        fix="Correct the data, or the code that makes it: its tokenizer may be that of another "
        "model.",
    ),
    "OQ410": Code(
        meaning="There is no calibration to compute scales from, or more than one.",
        example="onnxq insert --rules yolo    # in a folder without *.calib.npz",
        fix="Run `onnxq calibrate` first, or choose a file with `--calibration`.",
    ),
    "OQ411": Code(
        meaning="The calibration was made from another model, so its ranges are those of other "
        "tensors. Models are compared by their content, not by their name.",
        example="onnxq insert new.onnx --calibration old.calib.npz",
        fix="Calibrate this model.",
    ),
    "OQ412": Code(
        meaning="The calibration file is damaged, or was written by another version of onnxq.",
        example="onnxq insert model.onnx --calibration data.npz",
        fix="Make it again with `onnxq calibrate`.",
    ),
    "OQ413": Code(
        meaning="The rules quantize a tensor that the calibration did not observe: its range is "
        "not known.",
        example="{match: {op: Relu}, quantize: {inputs: act}}    # calibrated without --rules",
        fix="Calibrate with `--rules` and this recipe.",
    ),
    "OQ414": Code(
        meaning="A tensor had no values, or only values too close to zero to compute a scale from; "
        "its scale is set to 1.",
        example="a branch that the calibration data never uses",
        fix="Add data that uses it, or skip it in the recipe.",
    ),
    "OQ415": Code(
        meaning="A tensor had NaN or infinite values. They are not part of its range, and INT8 "
        "cannot represent them.",
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
        fix="Add calibrations that were made from one model with the same settings.",
    ),
    "OQ419": Code(
        meaning="A scale cannot be looked up or replaced in Python: no pair has that tensor or "
        "consumer node, the scale is not a positive finite number or does not have the shape of "
        "the present one, tensors that share one scale are given two, or the scales are those of "
        "another plan.",
        example='scales.replaced({"images": 0.0})',
        fix="The message names the tensor; `print(scales)` lists all, with their scales.",
    ),
    "OQ420": Code(
        meaning="Options for the data contradict each other, the data or the model, or are out of "
        "range.",
        example="onnxq calibrate model.onnx --data imgs/ --batch 4    # the model takes 1",
        fix="The message names the option; `onnxq calibrate --help` says what each does.",
    ),
    "OQ421": Code(
        meaning="Python data gives no samples: the file has no such function, the object is not "
        "iterable, or it is an iterator or generator that was read before.",
        example="onnxq calibrate model.onnx --data loader.py:sampels",
        fix="Give a list, an iterable such as a DataLoader, or a function without arguments that "
        "makes one. In a file, `load_data` is used unless a name is given.",
    ),
    "OQ422": Code(
        meaning="The user's code that makes the data raised an exception. The message names the "
        "last line of the Python file, or the sample; in Python the exception is the cause of "
        "onnxq's error.",
        example="def load_data(): yield {'images': missing}",
        fix="Correct that code.",
    ),
    "OQ423": Code(
        meaning="A sample of Python data is not an array or a tensor, or has masked values.",
        example="def load_data(): yield 'cat.jpg'",
        fix="Give arrays or tensors: a dictionary by input name, a tuple in the order of the "
        "inputs, or a single one for a model with one input.",
    ),
    "OQ424": Code(
        meaning="The shape of an input differs between samples. That is often a mistake in the "
        "data, so it must be permitted.",
        example="onnxq calibrate bert.onnx --data texts/    # 17 tokens, then 24",
        fix="Pad the samples to one shape, or give `--ragged`.",
    ),
    "OQ425": Code(
        meaning="The data has NaN, which would make every range useless, or infinite values, which "
        "no range covers. NaN is an error; infinite values, as in masks, give a warning.",
        example="np.save('sample.npy', np.log(pixels))    # pixels of 0 and below",
        fix="Correct the data, or remove the samples.",
    ),
    "OQ426": Code(
        meaning="Samples were left out because they do not fill a batch, and the model takes only "
        "full batches. onnxq neither repeats samples nor invents any.",
        example="onnxq calibrate model.onnx --data imgs/    # 43 pictures, batches of 10",
        fix="Add or remove samples, or export the model with a dynamic batch.",
    ),
    "OQ427": Code(
        meaning="The data has fewer samples than were asked for; all were used.",
        example="onnxq calibrate model.onnx --data imgs/ --samples 500    # 100 are there",
        fix="Add samples, or ask for fewer.",
    ),
    "OQ428": Code(
        meaning="`--data random` makes random samples, which are only good for trying the tools. "
        "It is refused where a folder or file is called `random`.",
        example="onnxq calibrate model.onnx --data random",
        fix="Give real data; `./random` is the folder.",
    ),
    "OQ501": Code(
        meaning="The output cannot be written, or the working folder was removed. No part of the "
        "output is left behind.",
        example="onnxq insert -o /missing/model.qdq.onnx",
        fix="Choose another `-o`, or free some space.",
    ),
    "OQ502": Code(
        meaning="The output would overwrite an input or another output of the command, or an "
        "imported calibration cache would overwrite a calibration made from data.",
        example="onnxq insert model.onnx -o model.onnx",
        fix="Give another `-o`.",
    ),
    "OQ503": Code(
        meaning="onnx.checker refuses the Q/DQ model, though the float model is valid. Nothing was "
        "written: this is a bug in onnxq.",
        example="none is known",
        fix="Report it with the model and the recipe.",
    ),
    "OQ530": Code(
        meaning="The model has integer operators such as ConvInteger, QLinearConv or "
        "DynamicQuantizeLinear. TensorRT does not import them, and onnxq can neither keep nor "
        "remove them as it does Q/DQ pairs.",
        example="a model that onnxruntime's quantize_dynamic wrote",
        fix="Give the float model that it was made from.",
    ),
    "OQ531": Code(
        meaning="The model to be stripped has no Q/DQ pair.",
        example="onnxq strip model.onnx    # the float model",
        fix="Give the Q/DQ model; a float model needs no stripping.",
    ),
    "OQ532": Code(
        meaning="Some Q/DQ nodes cannot be stripped: they are in a function, in a subgraph of an "
        "operator other than If, Loop and Scan, or without their counterpart, such as a "
        "DequantizeLinear of an integer input.",
        example="a model whose input is uint8 and goes to a DequantizeLinear",
        fix="Nothing, if they belong to the model's interface; else give the float model.",
    ),
    "OQ533": Code(
        meaning="A QuantizeLinear whose lowest integer stands for zero cuts off negative values, "
        "and onnxruntime removes a Relu before it. So stripping puts a Relu in its place.",
        example="a model that onnxruntime's quantize_static wrote, with uint8 activations",
        fix="Compare with the float model, if you have it: it may have had a Clip there.",
    ),
    "OQ534": Code(
        meaning="A rule ties the scales of tensors that have pairs in the model already, with "
        "different scales. These are kept, so the tie has no effect on them.",
        example="onnxq insert qat.onnx --existing keep    # with a Concat of unequal scales",
        fix="Strip the model (`--existing strip`) to let the rules place all pairs.",
    ),
    "OQ535": Code(
        meaning="The opset was raised to the first that supports the pairs, or calls of local "
        "functions were replaced by their nodes, and the outputs of the model changed, on a random "
        "sample in onnxruntime without optimizations.",
        example="a linear Resize of opset 10, which has other coordinates since opset 11",
        fix="Export the model again with opset 13 or newer, 19 for FP8, 21 for INT4, and without "
        "local functions.",
    ),
    "OQ561": Code(
        meaning="Calls of the model's local functions cannot be replaced by the functions' nodes, "
        "so onnxq does not see what they compute.",
        example="a function that calls itself",
        fix="Export the model again without local functions.",
    ),
}
