"""Results as pages."""

from onnxq.render.html.noise_page import noise_page as noise_page
from onnxq.render.html.page import page as page
from onnxq.render.html.plan_page import plan_page as plan_page
from onnxq.render.html.template import require as require
from onnxq.render.html.tuned_page import tuned_page as tuned_page
