"""The code of every diagnostic, with what it means, an example, and what to do.

OQ1xx rule files, OQ2xx rules against the model, OQ3xx the model, OQ4xx data, calibration and
scales, OQ5xx insert, OQ6xx verify, OQ7xx training, OQ8xx the machine.
"""

from typing import Final

from onnxq.codes.calibrations import CALIBRATIONS
from onnxq.codes.code import Code as Code
from onnxq.codes.costs import COSTS
from onnxq.codes.expectations import EXPECTATIONS
from onnxq.codes.formats import FORMATS
from onnxq.codes.improving import IMPROVING
from onnxq.codes.inputs import INPUTS
from onnxq.codes.inserting import INSERTING
from onnxq.codes.linting import LINTING
from onnxq.codes.machine import MACHINE
from onnxq.codes.metrics import METRICS
from onnxq.codes.planning import PLANNING
from onnxq.codes.precision import PRECISION
from onnxq.codes.rule_files import RULE_FILES
from onnxq.codes.running import RUNNING
from onnxq.codes.training import TRAINING
from onnxq.codes.tuning import TUNING
from onnxq.codes.verifying import VERIFYING

CODES: Final[dict[str, Code]] = dict(
    sorted(
        (
            RULE_FILES
            | PLANNING
            | INPUTS
            | RUNNING
            | TUNING
            | TRAINING
            | CALIBRATIONS
            | EXPECTATIONS
            | IMPROVING
            | METRICS
            | FORMATS
            | PRECISION
            | INSERTING
            | VERIFYING
            | LINTING
            | COSTS
            | MACHINE
        ).items()
    )
)
