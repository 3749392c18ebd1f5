"""Weight files: what locally connected layers they hold, and moving those to another layout and format.

Formats: Keras ``.h5`` (whole models and weights only) and ``.keras`` (packed or a folder), ``.safetensors``, ``.npz``,
a PyTorch ``state_dict``, SavedModel folders and checkpoints of TensorFlow, TensorFlow.js, darknet ``.weights``. Any
other is told by its content (`lcl_ref.files.recognising`). ONNX and TensorFlow Lite are written only.
Files are data: nothing in them is unpickled or instantiated, and what a header claims is checked before it is believed.
"""

from lcl_ref.files.contents import LocalLayer, Tensor, WeightFile
from lcl_ref.files.converting import STORED, Report, convert_file
from lcl_ref.files.opening import open_weights

__all__ = ["STORED", "LocalLayer", "Report", "Tensor", "WeightFile", "convert_file", "open_weights"]
