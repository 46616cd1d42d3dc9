"""One platform for all tests of this package; it is running and has no bars when a test starts."""

from collections.abc import Iterator

import pytest

from smallcaps_assets_tests.assets.conftest import instance, storage
from smallcaps_assets_tests.recovery.platform import Platform

__all__ = ["instance", "storage"]


@pytest.fixture(scope="package")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    with Platform.running(tmp_path_factory.mktemp("recovery")) as platform:
        yield platform


@pytest.fixture
def platform(shared: Platform) -> Platform:
    shared.reset()
    return shared
