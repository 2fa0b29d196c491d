"""Where rmaplab's C is that is compiled late: `core/` (the schemes) and `kernel/` (rules and C for a patched kernel).

For whoever compiles, patches or hashes it. In a checkout the two stand beside `src/`; a wheel carries them inside the
package, where `setup.py` put them.
"""

from pathlib import Path
from typing import Final

_PACKAGE: Final = Path(__file__).parent
SHIPPED: Final = _PACKAGE / "shipped"
"""Where a wheel has them; in a checkout there is no such directory."""

ROOT: Final = SHIPPED if SHIPPED.is_dir() else _PACKAGE.parents[1]
"""The directory that holds `core/` and `kernel/`."""
CORE: Final = ROOT / "core"
KERNEL: Final = ROOT / "kernel"
