"""Q/DQ models in torch: load one as a module, train it, and write it back (extra `torch`)."""

from onnxq.torch.files import load as load
from onnxq.torch.files import save as save
from onnxq.torch.module import QuantizedModule as QuantizedModule
from onnxq.torch.operators import Supported as Supported
from onnxq.torch.operators import supported as supported
from onnxq.torch.quantizer import Quantizer as Quantizer
