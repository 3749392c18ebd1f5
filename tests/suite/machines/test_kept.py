"""Processes that a machine keeps between two backends of a run."""

from lcl_ref.suite.golden.fixtures import default_root
from lcl_ref.suite.machines.kept import Kept, store_of
from lcl_ref.suite.run.cells import make_plan
from lcl_ref.suite.run.loading import resolve
from lcl_ref.suite.run.matrix import MatrixRun
from lcl_ref.suite.run.settings import Settings


def test_a_process_serves_the_next_backend_of_its_group_and_ends_for_another_group():
    kept, store, served = Kept(), store_of("any"), []
    assert store_of("any") is store
    for ref in resolve(["numpy.fast", "numpy.loop"]):
        lent = kept.lent("group", store, {})
        with MatrixRun(make_plan([ref], store, ["1d/padding/int"]), Settings(default_root(), 1, 30.0), lent) as run:
            assert [event.state for event in list(run)[1:3]] == ["pass", "pass"]
        served.append(lent.worker)
        kept.returned("group", lent)
    assert served[0] is served[1] is not None
    assert kept.lent("other", store, {}).worker is None
    assert served[0]._process.poll() is not None
