"""OQ2xx: rules against the model."""

from typing import Final

from onnxq.codes.code import Code

PLANNING: Final[dict[str, Code]] = {
    "OQ201": Code(
        meaning="A rule matched no node of this model, so it does nothing. Only rules of your own "
        "file are reported; with `required: true` it is an error.",
        example='match: {name: "/head/*"}  # nodes are called /head/cls/conv; * stops at /',
        fix="`onnxq explain MODEL RULE --rules FILE` shows the nearest node and why it does "
        "not match. Delete the rule when it is for another model.",
    ),
    "OQ202": Code(
        meaning="A pattern binds in more than one way at a node, so the rule is not applied there: "
        "onnxq never chooses between two tensors silently.",
        example='match: {pattern: "Add(Conv(...), skip)"}    # both inputs come from a Conv',
        fix="Make the pattern more specific, so that it binds in one way, or write a rule for "
        "that node.",
    ),
    "OQ203": Code(
        meaning="Pairs that must share one scale have different descriptors, or one of them "
        "belongs to a weight, which has a range of its own. One scale can have only one method.",
        example="{match: {op: Concat}, share_scale: [inputs, outputs]}    # with mse and max",
        fix="Give the tensors of the group one descriptor, or tie fewer of them.",
    ),
    "OQ204": Code(
        meaning="A rule asks for a per-channel pair on an activation. TensorRT would build the "
        "engine and silently run the op in float.",
        example="quantize: {inputs: {granularity: per_channel}}",
        fix="Use a `per_tensor` descriptor for activations; `per_channel` is for weights.",
    ),
    "OQ205": Code(
        meaning="The rules quantize nothing in this model: the result would be the float model.",
        example="match: {op: Gemm}         # in a model of Convs alone",
        fix="Compare the `match` keys with the ops and names that the model has.",
    ),
    "OQ206": Code(
        meaning="The channel axis of a weight is not known for this op, and the weight stays in "
        "float. An `axis` that the weight does not have is an error.",
        example="{match: {op: Add}, quantize: {weights: {granularity: per_channel}}}",
        fix="Give `axis` in the descriptor, or use `per_tensor`.",
    ),
    "OQ207": Code(
        meaning="A rule names an input or output that a matched node does not have, so it does "
        "nothing there.",
        example='{match: {op: [Add, Relu]}, skip: "input[1]"}',
        fix="Name a port that every matched node has, or narrow `match`.",
    ),
    "OQ208": Code(
        meaning="A weight's range is read by a method that needs a histogram over many samples; "
        "weights are constants and take `max` or `mse`.",
        example="quantize: {weights: {method: entropy}}",
        fix="Use `method: max` or `method: mse` for weights.",
    ),
    "OQ209": Code(
        meaning="One rule decides the same input twice, through two ports. The order of ports has "
        "no effect.",
        example='{match: {op: Relu}, quantize: {inputs: act, "input[0]": other}}',
        fix="Name each input once, or write two rules, of which the later wins.",
    ),
    "OQ210": Code(
        meaning="Everything that a rule decides is overridden by later rules: the last rule that "
        "matches an input wins. The rule could be deleted and nothing would change.",
        example="a rule for one Conv above a rule for every Conv",
        fix="Move the special rule after the general one, or delete it.",
    ),
    "OQ211": Code(
        meaning="A rule quantizes inputs that an earlier rule skips. This is allowed, because the "
        "last rule wins, but it is rarely intended: skips are exceptions.",
        example="a rule that skips the head above a rule that quantizes every Conv",
        fix="Put the skip after the rule, or narrow one of the two.",
    ),
    "OQ212": Code(
        meaning="A saved plan cannot be read, or belongs to another model.",
        example="onnxq insert model.onnx --plan other.plan",
        fix="Save it again with `onnxq plan MODEL --rules FILE -o PLAN`.",
    ),
    "OQ213": Code(
        meaning="A rule quantizes a tensor that is not float, such as a shape or an index.",
        example='{match: {op: Reshape}, quantize: {"input[1]": act}}',
        fix="Name only ports that hold float data; `inputs` and `weights` do so by themselves.",
    ),
    "OQ214": Code(
        meaning="`onnxq explain` got a name that is not a node, a tensor, a rule or a code.",
        example="onnxq explain model.onnx Conv_7",
        fix="Give a name as `onnxq plan` shows it, or a code alone: `onnxq explain OQ203`.",
    ),
    "OQ215": Code(
        meaning="The plan differs from the saved one that `--check` compares it with: the recipe, "
        "the model or onnxq has changed since. The exit code is 1.",
        example="onnxq plan model.onnx --rules yolo.yaml --check model.plan",
        fix="Look at the lines with - and +. If these changes are intended, save the plan again "
        "with `-o`.",
    ),
    "OQ216": Code(
        meaning="The model has Conv, Gemm or MatMul in a local function that needs other versions "
        "of operators than the model imports, or in a subgraph of another operator than If, Loop "
        "and Scan. Rules do not see these, so they stay in float.",
        example="a com.microsoft::BeamSearch with its decoder as a subgraph",
        fix="Export the model without them.",
    ),
    "OQ217": Code(
        meaning="Two options of a command exclude each other, an option with a single value is "
        "given twice or has a value that does not fit, a required option is missing, or there is "
        "no such option or command.",
        example="onnxq insert --plan model.plan --rules yolo",
        fix="Give one of the options, once. To use several folders of data, give `--data` one "
        "folder with links to them. For a missing option the message has an example of the whole "
        "command.",
    ),
    "OQ220": Code(
        meaning="The model multiplies matrices with operators that TensorRT computes in float, "
        "whatever pairs they have: LSTM, GRU, RNN, Attention, DeformConv, operators of "
        "onnxruntime's own, and an Einsum that has three operands, has a label twice in one "
        "operand, or sums over a label of one operand alone. They count as products in all "
        "figures.",
        example="h = LSTM(x, w, r) in a speech model",
        fix="Leave them in float, or export the model with MatMul, Gemm and Conv in their place.",
    ),
    "OQ225": Code(
        meaning="The recipe quantizes activations, whose ranges come from samples. Only a recipe "
        "for weights alone, such as `trt-int4-weights`, needs none.",
        example="onnxq quantize model.onnx --rules yolo",
        fix="Give the samples to calibrate on with `--data`.",
    ),
    "OQ226": Code(
        meaning="A regular expression or a glob takes more than a second on the name of one node; "
        "with a few more letters it would take years.",
        example='match: {name: "re:(a|aa)+$"}',
        fix="Put no repetition inside another, and fewer `**` into one glob.",
    ),
    "OQ240": Code(
        meaning="No sample of the calibration reached a value in a body of If, Loop or Scan: none "
        "took the branch, or the loop never ran. Ops that read such values get no pairs and stay "
        "in float, because the range is not known.",
        example="an If on the sampling rate, calibrated with one rate",
        fix="Add data that reaches the body, or skip its ops: `match: {inside: If}`.",
    ),
    "OQ241": Code(
        meaning="A rule quantizes a value in a body of If, Loop or Scan whose type onnx cannot "
        "infer, for instance behind a custom operator. Without a type the value cannot leave the "
        "body and be observed, so it stays in float.",
        example="a Conv behind com.example::Twist in a branch",
        fix="Export the model with the types of its inner values, or skip the input.",
    ),
}
