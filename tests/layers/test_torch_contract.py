"""The engine of torch owes what all engines owe."""

from lcl_backends.torch.fast import Adapter
from tests.layers.test_torch import set_thresholds
from tests.support.engine_contract import EngineContract


class TestContract(EngineContract):
    adapter, layers = Adapter(), 40

    def make_tiles(self, monkeypatch, room):
        set_thresholds(monkeypatch, small_bytes=0, tile_bytes=room)
