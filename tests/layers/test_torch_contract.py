"""The engine of torch owes what all engines owe."""

from lcl_backends.torch.fast import Adapter
from lcl_ref.layers.engines import torch_route
from tests.support.engine_contract import EngineContract


class TestContract(EngineContract):
    adapter, layers = Adapter(), 40

    def make_tiles(self, monkeypatch, room):
        monkeypatch.setattr(torch_route, "SMALL_BYTES", 0)
        monkeypatch.setattr(torch_route, "BOX_BYTES", room)
