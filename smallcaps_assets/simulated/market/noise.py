"""Random numbers that are equal on every platform and NumPy version: SplitMix64 over a counter, integers only."""

import hashlib
from typing import Final

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]

_GOLDEN: Final = 0x9E3779B97F4A7C15
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB
_MASK: Final = (1 << 64) - 1


def _mix(value: int) -> int:
    """SplitMix64's finalizer on one number."""
    value = ((value ^ (value >> 30)) * _MIX_1) & _MASK
    value = ((value ^ (value >> 27)) * _MIX_2) & _MASK
    return value ^ (value >> 31)


class Noise:
    """Independent streams of random numbers keyed by text; a stream is selected by a small integer."""

    def __init__(self, *parts: object) -> None:
        text = "|".join(str(part) for part in parts)
        self._key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")

    def _origin(self, stream: int) -> int:
        return _mix((self._key + (stream + 1) * _GOLDEN) & _MASK)

    def one(self, stream: int, low: int, high: int) -> int:
        """One number in [low, high], both ends included."""
        return low + ((_mix(self._origin(stream)) >> 32) * (high - low + 1) >> 32)

    def below(self, stream: int, count: int, bound: int | Ints) -> Ints:
        """`count` numbers in [0, bound); `bound` is one number or one per draw, each 1 to 2**31."""
        state = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(_GOLDEN) + np.uint64(self._origin(stream))
        state = (state ^ (state >> np.uint64(30))) * np.uint64(_MIX_1)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(_MIX_2)
        high_word = (state ^ (state >> np.uint64(31))) >> np.uint64(33)
        return ((high_word * np.asarray(bound, dtype=np.uint64)) >> np.uint64(31)).astype(np.int64)

    def between(self, stream: int, count: int, low: int, high: int) -> Ints:
        """`count` numbers in [low, high], both ends included."""
        return low + self.below(stream, count, high - low + 1)
