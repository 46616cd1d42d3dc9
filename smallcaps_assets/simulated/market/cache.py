"""A cache of recently used values, bounded by the bytes they take."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class ByteCache(Generic[T]):
    """Least recently used values leave first; safe for threads. A value may be made twice, never half seen."""

    def __init__(self, capacity_bytes: int, size_of: Callable[[T], int]) -> None:
        self._capacity = capacity_bytes
        self._size_of = size_of
        self._held: OrderedDict[Hashable, tuple[T, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def held_bytes(self) -> int:
        """Bytes of all values held now; at most the capacity."""
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The value of `key`, made outside the lock where it is not held."""
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key][0]
        value = make()
        size = self._size_of(value)
        with self._lock:
            if key not in self._held and size <= self._capacity:
                self._held[key] = (value, size)
                self._bytes += size
                while self._bytes > self._capacity:
                    self._bytes -= self._held.popitem(last=False)[1][1]
        return value
