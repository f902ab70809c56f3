r"""onnxq's INT8 of one model.

python benchmarks/peers/onnxq_int8.py model.onnx samples.npz out.onnx \
    [--rules NAME] [--improve [--without NAME ...]]
"""

import argparse

import numpy as np

import onnxq


def main() -> None:
    """Calibrate, improve if asked, and insert, with the default recipe or a named one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("samples")
    parser.add_argument("output")
    parser.add_argument("--rules")
    parser.add_argument("--improve", action="store_true")
    parser.add_argument("--without", nargs="*", default=())
    arguments = parser.parse_args()
    data = dict(np.load(arguments.samples))
    recipe = {} if arguments.rules is None else {"plan": arguments.rules}
    chosen = {"statistics": onnxq.calibrate(arguments.model, data), **recipe}
    if arguments.improve:
        chosen["improvement"] = onnxq.improve(
            arguments.model, data, without=arguments.without, **chosen
        )
    onnxq.insert(arguments.model, output=arguments.output, **chosen)


if __name__ == "__main__":
    main()
