"""How much torch writes: elements of the tensors its operations return. A count; seconds would depend on the day."""

import math

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Written(TorchDispatchMode):
    """Counts elements returned by every operation inside the block: `total` of all, `largest` of one tensor."""

    def __init__(self):
        super().__init__()
        self.total = self.largest = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        results = function(*arguments, **(keywords or {}))
        views = function.is_view or function.namespace == "prim"
        for result in tree_leaves(results):
            if isinstance(result, torch.Tensor) and not views:
                self.total += math.prod(result.shape)
                self.largest = max(self.largest, math.prod(result.shape))
        return results
