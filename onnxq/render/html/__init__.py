"""The report as a page."""

from onnxq.render.html.page import page as page
from onnxq.render.html.page import require as require
