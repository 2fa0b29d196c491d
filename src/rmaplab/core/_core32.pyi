"""Extension module with 32-bit sequence counts; the same functions."""

from rmaplab.core._core64 import ffi as ffi
from rmaplab.core._core64 import lib as lib
