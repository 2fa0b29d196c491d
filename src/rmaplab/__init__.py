"""rmaplab: is this memory mapped by one process or by many?

The packages follow one stream: a machine runs a scenario and emits a `trace`; the `engine` replays it through
`schemes`; the `judge` holds the verdicts against the truth; `report` shows them. Import the package you need;
this module holds nothing but the version.
"""

__version__ = "0.1.0"
