"""OQ6xx: verify."""

from typing import Final

from onnxq.codes.code import Code

VERIFYING: Final[dict[str, Code]] = {
    "OQ601": Code(
        meaning="The backend is not installed. If it was requested by name, this is an error with "
        "exit code 3.",
        example="onnxq verify model.onnx model.qdq.onnx --backend tensorrt-rtx",
        fix="Install it: `pip install onnxq[rtx]` or `onnxq[trt]`.",
    ),
    "OQ602": Code(
        meaning="The compiler rejected the model; the message quotes the compiler. onnxq then "
        "builds the float model too. If that is rejected as well, the message says so, and the "
        "pairs are not the cause.",
        example="a model with an operator that TensorRT does not have",
        fix="Export the model without the operator or feature that the compiler's message names.",
    ),
    "OQ603": Code(
        meaning="The two models do not have the same inputs and outputs, so there is nothing to "
        "compare.",
        example="onnxq verify other.onnx model.qdq.onnx",
        fix="Give the float model that the Q/DQ model was made from.",
    ),
    "OQ604": Code(
        meaning="A threshold of the command line was not met. The exit code is 1.",
        example="onnxq verify model.onnx model.qdq.onnx --data imgs/ --min-sqnr 20",
        fix="Keep the worst layers in float, use another method, or lower the threshold.",
    ),
    "OQ605": Code(
        meaning="A library of plugins cannot be loaded into the process of the compiler, or it "
        "registers no plugin; the message quotes the loader. A plugin library links to the "
        "TensorRT that it was built for: one for TensorRT does not load with TensorRT-RTX. The "
        "model is compiled without it.",
        example="onnxq verify model.onnx model.qdq.onnx --plugin libmmdeploy_tensorrt_ops.so",
        fix="Give a library that was built for this compiler, on a machine that has all libraries "
        "that it links to (`ldd` lists it).",
    ),
    "OQ606": Code(
        meaning="An output is computed by, or behind, an op that onnxruntime does not know, such "
        "as a plugin of TensorRT. The last tensors in front of the op are compared in its place: "
        "the report names them for each output, and thresholds for the output apply to them.",
        example="a YOLO that ends in EfficientNMS_TRT: its boxes and scores are compared",
        fix="Give the library that has the op with `--ort-library`, if there is one; else judge "
        "the outputs by an engine.",
    ),
    "OQ607": Code(
        meaning="The compiler has no op and no plugin of a name in the model, so the model was cut "
        "in front of it: the engine ends there and has the op's inputs as outputs. Weighted ops "
        "behind it are 'unknown'. TensorRT-RTX 1.7 takes no plugins at all.",
        example="onnxq verify yolo_nms.onnx yolo_nms.qdq.onnx    # with EfficientNMS_TRT",
        fix="Give the library that has the plugin with `--plugin`, and a compiler that takes "
        "plugins: `--backend tensorrt`, which needs a GPU.",
    ),
    "OQ650": Code(
        meaning="Q/DQ models that are compared with each other were calibrated with different "
        "preprocessing, so it is not known how the pictures should become inputs.",
        example="onnxq verify model.onnx a.qdq.onnx b.qdq.onnx --data imgs/",
        fix="Choose the preprocessing with `--preprocess`.",
    ),
    "OQ651": Code(
        meaning="The file of --labels cannot be read, or it does not name the samples.",
        example="onnxq verify model.onnx model.qdq.onnx --data imgs/ --labels other.csv",
        fix="Give a CSV file with a row for each sample: its file name and its class.",
    ),
    "OQ652": Code(
        meaning="A label names a class that the model does not have. Indices begin with 0.",
        example="a row `1.jpg,1000` for a model of 1,000 classes",
        fix="Write indices from 0, or names that the model's metadata key `names` has.",
    ),
    "OQ653": Code(
        meaning="The model is not a classifier: it has no output of shape [1, classes] to compare "
        "with labels.",
        example="--labels with a detector, or with batches",
        fix="Leave `--labels` out, or give a model and samples of batch 1.",
    ),
    "OQ654": Code(
        meaning="A threshold is not a number, can never be met, or names an output that does not "
        "exist.",
        example="onnxq verify model.onnx model.qdq.onnx --data imgs/ --min-sqnr outptu:25",
        fix="Write `--min-sqnr 25` for every output or `--min-sqnr NAME:25` for one; cosines are "
        "from -1 to 1, shares such as `--min-int8` from 0 to 1, and `--max-top1-drop` in points.",
    ),
    "OQ655": Code(
        meaning="By the labels the float model is no more often right than by chance, so that "
        "top-1 says nothing of the Q/DQ model either.",
        example="labels whose indices begin with 1",
        fix="Check the file of labels, that indices begin with 0 and have the order of the model's "
        "classes, and the preprocessing of the samples.",
    ),
    "OQ660": Code(
        meaning="The compiler crashed while it built the engine. It runs in a process of its own, "
        "so onnxq continues.",
        example="a scale that is an input of the model, with which TensorRT-RTX 1.7 segfaults",
        fix="Correct what lint reports for the model. The message says whether the float model "
        "builds.",
    ),
    "OQ661": Code(
        meaning="The compiler took longer than `--timeout` and was stopped.",
        example="onnxq verify model.onnx model.qdq.onnx --timeout 60",
        fix="Give it more time; the build time grows faster than the number of layers.",
    ),
    "OQ662": Code(
        meaning="The compiler ran out of memory, or the system killed it because memory was short.",
        example="a container with 512 MB",
        fix="Build on a machine with more memory, or for smaller shapes.",
    ),
    "OQ663": Code(
        meaning="The installed TensorRT-RTX is of another version than onnxq was tested with, or "
        "TensorRT itself is used, with which onnxq was never tested. The format of its list of "
        "layers is not documented and may have changed. Lines that onnxq cannot read become "
        "'unknown', but a line of a known form may have another meaning. TensorRT-RTX 1.6 rejects "
        "INT8 convolutions.",
        example="an upgrade of tensorrt-rtx",
        fix="Use a tested version, or an onnxq that was tested with yours.",
    ),
    "OQ664": Code(
        meaning="A compute capability that this TensorRT-RTX cannot build engines for.",
        example="onnxq verify model.onnx model.qdq.onnx --target sm90",
        fix="Use targets from the list in the message.",
    ),
    "OQ665": Code(
        meaning="Dimensions share a name, but the given shapes have different sizes for them. In "
        "ONNX and TensorRT dimensions of one name are equal, so TensorRT rejects the file. Some "
        "exporters write '?' for every dynamic size.",
        example="x: [batch, 3, ?, ?] with --shape x:1x3x48x192",
        fix="Give each dimension a name of its own when you export, or fix the sizes.",
    ),
    "OQ666": Code(
        meaning="An engine was built but could not be run on the GPU; the message quotes TensorRT.",
        example="a driver that is older than TensorRT needs",
        fix="Check that the driver supports this version of TensorRT, and that the GPU has free "
        "memory.",
    ),
    "OQ667": Code(
        meaning="`--keep-engine` has no engine to keep: `--backend onnxruntime` builds none, and "
        "several Q/DQ models have one each.",
        example="onnxq verify model.onnx a.qdq.onnx b.qdq.onnx --keep-engine model.engine",
        fix="Give one Q/DQ model and a backend that compiles.",
    ),
    "OQ670": Code(
        meaning="The packages that draw the pages of `--html`, Jinja, Vega and fast-sugiyama, are "
        "not installed. They are an extra because Vega takes 84 MB.",
        example="onnxq verify model.onnx model.qdq.onnx --html report.html",
        fix="`pip install 'onnxq[html]'`.",
    ),
    "OQ671": Code(
        meaning="`--rules` and `--plan` of `verify` only supply the page of `--html` with the "
        "rule that made each decision.",
        example="onnxq verify model.onnx model.qdq.onnx --rules mine.yaml",
        fix="Give `--html report.html` too, or leave them out.",
    ),
    "OQ672": Code(
        meaning="None of the recipes and plans for the page made a model: their plans do not have "
        "the digest that the models record. The page then names no rules.",
        example="onnxq verify model.onnx model.qdq.onnx --html report.html --rules other.yaml",
        fix="Give the version of the recipe that made the model, or the saved plan.",
    ),
    "OQ673": Code(
        meaning="The named calibration does not belong to the model: the model records another "
        "calibration, or was made from another float model. The calibration is not used.",
        example="onnxq verify model.onnx model.qdq.onnx --data imgs/ --calibration other.npz",
        fix="Name the calibration of the model, or leave `--calibration` out: `verify` finds one "
        "beside the model.",
    ),
    "OQ680": Code(
        meaning="A part of an output cannot be compared: the text is not NAME=OUTPUT[INDEX], there "
        "is no such output, the index selects no values, or an output or another part has that "
        "name.",
        example="onnxq verify model.onnx model.qdq.onnx --data imgs/ --part scores=output0[4:,:]",
        fix="Write the index as in numpy: `--part scores=output0[:,4:]` is channel 4 and all "
        "after it, of every sample in the batch.",
    ),
    "OQ681": Code(
        meaning="An output depends on random numbers that the model draws: RandomNormal, "
        "RandomUniform, Multinomial, Bernoulli, or Dropout in training mode. Each session of "
        "onnxruntime would draw its own; `verify` gives both models the same draws, so that their "
        "figures are those of the quantization. In production every run draws others.",
        example="an output y = x + RandomNormalLike(x)",
        fix="Judge the model by what it generates, or make the random numbers an input.",
    ),
    "OQ682": Code(
        meaning="Detections cannot be compared: there is no such decoder, its file has no function "
        "`detections`, the function raised an error or returned another form, there is no --data, "
        "or one of `--detection-score`, `--min-kept` and `--max-new` is given without a decoder.",
        example="onnxq verify model.onnx model.qdq.onnx --data imgs/ --detections yolov8",
        fix="Give `yolo`, `yolox`, `ssd` or a Python file with `detections(outputs, inputs)`, "
        "which returns for each sample a tuple of boxes [n, 4], scores [n] and classes [n].",
    ),
    "OQ683": Code(
        meaning="The outputs do not have the form that the decoder of --detections reads.",
        example="--detections yolo for a model with the outputs boxes [1,300,4] and scores [1,300]",
        fix="Choose another decoder, or write `--detections FILE.py` with your post-processing.",
    ),
}
