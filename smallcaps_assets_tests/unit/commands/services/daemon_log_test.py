"""What Dagster's daemon logs of ticks that failed."""

import logging

import pytest
from dagster._core.errors import DagsterUserCodeProcessError
from dagster_shared.error import SerializableErrorInfo

from smallcaps_assets.commands.services.daemon_log import shorten_failed_ticks

SENSORS = "dagster.daemon.SensorDaemon"


def failed_tick(words: str, *, stack: list[str]) -> None:
    """Log the error of a sensor as the daemon does."""
    described = SerializableErrorInfo(message="universe.parquet: is damaged.", stack=stack, cls_name="LakeError")
    try:
        raise DagsterUserCodeProcessError.from_error_info(described)
    except DagsterUserCodeProcessError:
        logging.getLogger(SENSORS).exception(words)


def test_a_foreseeable_failure_is_one_line_and_a_defect_keeps_its_stack_trace(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger(SENSORS)
    before = list(logger.filters)
    shorten_failed_ticks()
    try:
        failed_tick("Sensor daemon caught an error for sensor staleness", stack=[])
        failed_tick("Sensor tick caught an error", stack=[])
        (record,) = caplog.records
        assert record.exc_info is None
        words = "Sensor daemon caught an error for sensor staleness: universe.parquet: is damaged."
        assert record.getMessage().strip() == words
        failed_tick("Sensor tick caught an error", stack=["File x, line 1"])
        assert caplog.records[-1].exc_info
        logger.error("without an exception")
        assert caplog.records[-1].getMessage() == "without an exception"
    finally:
        for one in set(logger.filters) - set(before):
            logger.removeFilter(one)
        logging.getLogger("dagster.daemon.SchedulerDaemon").filters.clear()
