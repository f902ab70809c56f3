"""OQ1xx: the rule file."""

from typing import Final

from onnxq.codes.code import Code

RULE_FILES: Final[dict[str, Code]] = {
    "OQ101": Code(
        meaning="The recipe does not exist, neither as a file nor among the shipped ones, "
        "or cannot be read. Names in `extends` are looked for beside the file that has them.",
        example="extends: trt-int9",
        fix="Correct the name or the path; `onnxq rules list` shows the shipped recipes.",
    ),
    "OQ102": Code(
        meaning="The file is not valid YAML, or uses a part of YAML that recipes may not have: "
        "anchors, aliases, tags, a key given twice, several documents, nesting deeper than 50. "
        "Plain YAML would accept some of these silently and change their meaning.",
        example="match: {name: **/conv}    # a text that begins with * needs quotes",
        fix="Correct the place under the caret. Quote texts with any of `*&!@%:#` in them.",
    ),
    "OQ103": Code(
        meaning="A key is unknown. Ignoring it would make the rule do something else than its text "
        "says.",
        example="share_scales: [inputs, outputs]",
        fix="Correct the spelling; docs/rules.md lists the keys.",
    ),
    "OQ104": Code(
        meaning="A value has the wrong type or makes no sense, or a required key is missing.",
        example="match: {op: Convv}",
        fix="Use the value that the message asks for. A text that looks like a number needs "
        "quotes.",
    ),
    "OQ105": Code(
        meaning="A pattern cannot be parsed, or matching it would not end. Patterns are "
        "expressions over ops and tensors; they are never executed, so nothing else of Python has "
        "a meaning in them. Each Add or Mul inside another doubles the ways to match, and patterns "
        "under `all` multiply theirs; docs/rules.md has the limits.",
        example='match: {pattern: "Add(conv(...), skip)"}',
        fix="Correct the place under the caret: ops are CamelCase, tensors lower case. With too "
        "many ways, nest fewer Adds and Muls, or put fewer patterns under `all`.",
    ),
    "OQ106": Code(
        meaning="A descriptor is used but not defined. A descriptor that another one extends must "
        "be defined above it, or in an extended file.",
        example="quantize: {inputs: activation}",
        fix="Define it under `descriptors`, or use one that is defined there.",
    ),
    "OQ107": Code(
        meaning="Recipes extend each other in a circle, so that none of them comes first.",
        example="extends: b.yaml           # in a.yaml; b.yaml has extends: a.yaml",
        fix="Remove one `extends` of the circle that the message shows.",
    ),
    "OQ108": Code(
        meaning="Two rules of one file have the same id. Plans and reports name rules by their id, "
        "so they could not be told apart.",
        example="- id: head                # and further down again - id: head",
        fix="Give each rule of a file its own id.",
    ),
    "OQ109": Code(
        meaning="An action names a port that does not exist, or a name that some alternative of "
        "the rule's pattern does not bind.",
        example='{match: {pattern: "Relu(v) | Conv(u, ...)"}, skip: v}',
        fix="Use `inputs`, `weights`, `all`, `outputs`, `input[0]`, `output[0]`, or a name that "
        "every alternative of the pattern has.",
    ),
}
