"""What a random program may do next: functions that add steps to a `Story`, as what it did so far allows."""
