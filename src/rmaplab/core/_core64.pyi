"""Extension module with 64-bit sequence counts: made by build_core.py, declarations in core/lib/api.h and driver.h."""

from typing import Any

lib: Any
ffi: Any
