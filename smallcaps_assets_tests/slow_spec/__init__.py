"""A second implementation of the specification in slow, plain Python, with which the package is compared.

Written from the specification alone. Frames are converted to rows and back at the interface; the rest is loops.
"""

from smallcaps_assets_tests.slow_spec.bars import clean, features, in_session, xnys
from smallcaps_assets_tests.slow_spec.events import detect, event_id, master
from smallcaps_assets_tests.slow_spec.manifest import extension, manifest
from smallcaps_assets_tests.slow_spec.micro import micro
from smallcaps_assets_tests.slow_spec.params import DEFAULTS, altered
from smallcaps_assets_tests.slow_spec.tape import in_force, nanoseconds, spans, thin

__all__ = [
    "DEFAULTS",
    "altered",
    "clean",
    "detect",
    "event_id",
    "extension",
    "features",
    "in_force",
    "in_session",
    "manifest",
    "master",
    "micro",
    "nanoseconds",
    "spans",
    "thin",
    "xnys",
]
