"""The one error of everything that reads or checks traces."""

from rmaplab.errors import RmaplabError


class TraceError(RmaplabError, ValueError):
    """A trace that cannot be used: names the file, the row (None if it is the whole file) and the rule it breaks."""

    def __init__(self, file: str, row: int | None, rule: str) -> None:
        super().__init__(file, row, rule)
        self.file = file
        self.row = row
        self.rule = rule

    def __str__(self) -> str:
        return f"{self.file}: {self.rule}" if self.row is None else f"{self.file} row {self.row}: {self.rule}"
