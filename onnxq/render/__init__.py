"""Everything a person sees: diagnostics, plans, explanations and reports, as text."""

from onnxq.render.calibrations import calibration as calibration
from onnxq.render.calibrations import calibration_tensor as calibration_tensor
from onnxq.render.calibrations import calibration_tensors as calibration_tensors
from onnxq.render.calibrations import gathered as gathered
from onnxq.render.calibrations import gathered_dict as gathered_dict
from onnxq.render.explanations import explanation_dict as explanation_dict
from onnxq.render.explanations import explanations as explanations
from onnxq.render.findings import findings as findings
from onnxq.render.findings import lint_dict as lint_dict
from onnxq.render.findings import lint_summary as lint_summary
from onnxq.render.findings import repairs as repairs
from onnxq.render.plans import changes as changes
from onnxq.render.plans import float_rest as float_rest
from onnxq.render.plans import plan_by_rule as plan_by_rule
from onnxq.render.plans import plan_counts as plan_counts
from onnxq.render.plans import plan_lines as plan_lines
from onnxq.render.plans import plan_summary as plan_summary
from onnxq.render.reports import verify_report as verify_report
from onnxq.render.text import diagnostic_dict as diagnostic_dict
from onnxq.render.text import diagnostics as diagnostics
