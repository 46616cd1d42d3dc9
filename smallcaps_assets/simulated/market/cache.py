"""A cache of recently used values, bounded by their size in bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

_T = TypeVar("_T")


class ByteCache(Generic[_T]):
    """A least-recently-used cache, safe for threads; concurrent callers may compute the same value twice."""

    def __init__(self, capacity_bytes: int, size_of: Callable[[_T], int]) -> None:
        self._capacity = capacity_bytes
        self._size_of = size_of
        self._values: OrderedDict[Hashable, tuple[_T, int]] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()

    @property
    def cached_bytes(self) -> int:
        """Bytes of all cached values; at most the capacity."""
        return self._bytes

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """The cached value of `key`, or the result of `make`, which is called without the lock and cached."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
        value = make()
        size = self._size_of(value)
        with self._lock:
            if key not in self._values and size <= self._capacity:
                self._values[key] = (value, size)
                self._bytes += size
                while self._bytes > self._capacity:
                    self._bytes -= self._values.popitem(last=False)[1][1]
        return value
