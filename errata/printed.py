"""The layers that `tools.seeds.SHOWN` names: every snippet as printed, where it runs."""

from errata import channel_snippets, printed_images, printed_layers, thread_snippets
from lcl_ref.suite.cases.catalogue import CASES
from tools import seeds

HOMES = (printed_layers, printed_images, thread_snippets, channel_snippets)
LAYERS = {
    shown: next(getattr(home, shown.layer) for home in HOMES if hasattr(home, shown.layer)) for shown in seeds.SHOWN
}


def cases_of(layer):
    """The ids of the cases a layer is printed for, without those of sizes, which are many and slow."""
    fitting = [case for case in CASES if case.values != "complex" and layer().printed_for(case.spec)]
    return [case.id for case in fitting if case.topic != "sizes"]
