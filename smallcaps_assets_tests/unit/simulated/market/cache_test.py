from concurrent.futures import ThreadPoolExecutor

from smallcaps_assets.simulated.market.cache import ByteCache


def test_the_least_recently_used_leave_first():
    cache = ByteCache(10, len)
    made = []

    def get(key, size=4):
        return cache.get(key, lambda: made.append(key) or b"x" * size)

    get("a")
    get("b")
    get("a")
    get("c")  # b leaves
    get("a")
    get("b")
    assert made == ["a", "b", "c", "b"]
    assert cache.cached_bytes <= 10


def test_values_larger_than_the_cache_are_returned_but_not_cached():
    cache = ByteCache(10, len)
    assert len(cache.get("big", lambda: b"x" * 11)) == 11
    assert cache.cached_bytes == 0


def test_threads_keep_the_count_of_bytes_right():
    cache = ByteCache(1000, len)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: cache.get(key % 40, lambda: b"x" * 30), range(4000)))
    assert 0 < cache.cached_bytes <= 1000
    assert cache.cached_bytes % 30 == 0
