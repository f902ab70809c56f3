"""Output for people: results and diagnostics as text, in a notebook and as a page."""

from onnxq.render.calibrations import gathered as gathered
from onnxq.render.improvements import plan_improvers as plan_improvers
from onnxq.render.plans import plan_lines as plan_lines
from onnxq.render.plans import plan_summary as plan_summary
from onnxq.render.results import lint_report as lint_report
from onnxq.render.results import show as show
from onnxq.render.text import diagnostics as diagnostics
