"""One-line faults for the model, and what finds them: `python -m faults` from tests/model (see `make mutants`)."""
