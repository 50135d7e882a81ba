"""Real QEMU: guests drawn at random hand over. `make boots` does many more."""

from pathlib import Path

import pytest

from tests.support import boots

pytestmark = pytest.mark.qemu


@pytest.mark.parametrize("seed", range(20))
def test_a_guest_drawn_at_random(seed: int, tmp_path: Path) -> None:
    drawn = boots.draw(seed)
    assert not boots.boot(drawn, tmp_path), str(drawn)
