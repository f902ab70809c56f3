"""The last model that computes what the original does survives an interruption."""

import numpy as np

from onnxq.improvement.edits import Edits, edited
from onnxq.improvement.exact import changed_since, kept_apart
from onnxq.sessions import open_session
from tests.improvement.models import samples, two_convs


def test_it_is_made_again_from_the_state_that_was_kept():
    exact = two_convs()
    changed = Edits(
        constants={"bias2": np.ones(4, np.float32)}, biases={"first": np.ones(8, np.float32)}
    )
    later = edited(exact, changed)
    state = {"own": np.zeros(2, np.float32), **changed_since(exact, later)}
    own, again = kept_apart(state, later)
    assert list(own) == ["own"]
    assert set(state) == {"own", "exact/bias2", "exact/w1_bias"}
    results = [open_session(m).run(None, samples(1)[0])[0] for m in (exact, later, again)]
    assert np.array_equal(results[0], results[2])
    assert not np.allclose(results[0], results[1])


def test_nothing_is_kept_where_no_float_value_changed():
    model = two_convs()
    assert changed_since(model, model) == {}
    own, again = kept_apart({"own": np.zeros(2, np.float32)}, model)
    assert list(own) == ["own"]
    assert again is model
