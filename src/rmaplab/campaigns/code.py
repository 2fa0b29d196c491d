"""Which code did the work: parts made by different code do not add up.

For `store` and the engines. A version number is not enough while the code is at work on.
"""

import functools
import hashlib
from pathlib import Path
from typing import Final

from rmaplab import __version__
from rmaplab.sources import CORE, SHIPPED

_PACKAGE: Final = Path(__file__).parents[1]
_SOURCES: Final = frozenset({".py", ".c", ".h"})


@functools.cache
def code() -> str:
    """Version and a digest of the package's sources and the C core's, wherever they stand: `0.1.0+3f2a...`."""
    digest = hashlib.sha256()
    package = [path for path in _PACKAGE.rglob("*") if not path.is_relative_to(SHIPPED)]
    for root, files in ((_PACKAGE, package), (CORE, CORE.rglob("*"))):
        for path in sorted(one for one in files if one.suffix in _SOURCES and one.is_file()):
            digest.update(f"{path.relative_to(root)}\n".encode())
            digest.update(path.read_bytes())
    return f"{__version__}+{digest.hexdigest()[:12]}"
