"""Names of the folders and files of symbols: `symbol=X`, never the same for two symbols, also where case is ignored.

Lower-case letters are percent-encoded: BCpC is `symbol=BC%70C`, beside `symbol=BCPC`. Readers of hive folders decode
that. Earlier releases wrote `symbol=BCpC`: such a name stays in use where it exists, and where it does, BCPC becomes
`symbol=%42CPC`.
"""

import os
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from smallcaps_assets.domain.symbols import SYMBOL_PATTERN
from smallcaps_assets.errors import LakeError

KEY: Final = "symbol="
# what no name may hold as it is: letters that differ from others only in case; a final dot, which Windows removes
_ENCODED: Final = re.compile(r"[a-z]|\.$")
# names in capitals, with their spellings
UnusualNames = Mapping[str, Collection[str]]
NONE_UNUSUAL: Final[UnusualNames] = {}


def symbol_of(name: str) -> str:
    """The symbol of a folder `symbol=X`; of a file, give the name without its suffix."""
    return unquote(name.removeprefix(KEY))


def names_symbol(name: str) -> bool:
    """Whether a folder `symbol=X`, or a file without suffix, names a usable symbol; copies such as `X (1)` do not."""
    return re.fullmatch(SYMBOL_PATTERN[1:-1], symbol_of(name)) is not None


def symbol_name(symbol: str, unusual: UnusualNames = NONE_UNUSUAL) -> str:
    """The name of a symbol's folder, or of its file without suffix.

    Args:
        symbol: the symbol.
        unusual: what `unusual_names` found where the name is used.
    """
    usual = _encode(symbol)
    if unusual:
        if symbol in unusual.get(symbol.upper(), ()):
            return KEY + symbol
        apart = f"%{ord(symbol[0]):02X}{_encode(symbol[1:])}"
        if apart in unusual or usual in unusual:
            return KEY + apart
    return KEY + usual


def unusual_names(folder: Path, suffix: str = "") -> UnusualNames:
    """Names of earlier releases in a folder and others that differ in case only, without `symbol=` and `suffix`.

    Raises:
        LakeError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as listed:
            names = [entry.name for entry in listed if entry.name.startswith(KEY) and entry.name.endswith(suffix)]
    except (FileNotFoundError, NotADirectoryError):
        return NONE_UNUSUAL
    except OSError as error:
        raise LakeError(f"{folder}: cannot be read ({error.strerror}). Check that this user may read it.") from error
    names = [name.removeprefix(KEY).removesuffix(suffix) for name in names]
    unusual: dict[str, set[str]] = {name.upper(): set() for name in names if name != _encode(unquote(name))}
    for name in names:
        unusual.get(name.upper(), set()).add(name)
    return unusual


def _encode(symbol: str) -> str:
    return _ENCODED.sub(lambda found: f"%{ord(found[0]):02X}", symbol)
