"""KSM: the scanner that merges equal pages, and what takes its pages apart again."""
