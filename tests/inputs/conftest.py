"""Frames that several tests of the inputs share."""

import numpy as np
import pytest

from pisces.core import shards
from pisces.core.shards import Cell
from tests.conftest import MODULATIONS


@pytest.fixture(scope="module", params=(-10, 0, 20))
def frames(iq_shards, request) -> np.ndarray:
    """20 frames a modulation at one SNR, cut out of longer signals: complex64 (60, 256)."""
    iq = [
        shards.array(Cell(modulation, request.param).path(iq_shards), "iq")
        for modulation in MODULATIONS
    ]
    return np.concatenate(iq).view(np.complex64)[..., 0]
