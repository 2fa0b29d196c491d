"""The processes that do a live machine's operations, what they borrow from the system, and the coordinator's ends.

`nursery`, `warden`, `worker` and what these import are scripts of the standard library, loaded by file, not by package.
"""
