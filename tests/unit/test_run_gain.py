"""The words of `run --measure-pvh`."""

import pytest

from fwbuild.bench.events import Event
from fwbuild.bench.gain import Gain
from fwbuild.bench.stats import Summary
from fwbuild.verbs.run_gain import saving

# milliseconds: median, low, high
WORDS = {
    (1051.0, 1000.0, 1094.0): "it saves 1.05 s (1.00 to 1.09)",
    (-30.0, -40.0, -20.0): "it costs 0.03 s (0.02 to 0.04)",
    (20.0, -10.0, 40.0): "no difference beyond the noise: 0.02 s (-0.01 to 0.04)",
}


@pytest.mark.parametrize("saved", WORDS)
def test_saving(saved: tuple[float, float, float]) -> None:
    some = Summary(0, 0, 0, 5)
    assert saving(Gain(Event.START_KERNEL, some, some, Summary(*saved, 5))) == WORDS[saved]
