"""Makes `tests/` importable for shared strategies, and sets Hypothesis up for machines of any speed."""

from hypothesis import settings

settings.register_profile("rmaplab", deadline=None, max_examples=40, print_blob=True)
settings.load_profile("rmaplab")
