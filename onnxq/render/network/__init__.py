"""A model as a drawn network: what stands where, and what each box tells."""

from onnxq.render.network.drawing import Drawing as Drawing
from onnxq.render.network.drawing import Overlay as Overlay
from onnxq.render.network.drawing import drawing as drawing
from onnxq.render.network.graph import Network as Network
from onnxq.render.network.graph import network as network
from onnxq.render.network.placements import placements as placements
