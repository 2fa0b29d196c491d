"""What this system has and lends: capabilities, THP knobs, files of a disk."""
