"""Evidence that does not come from running: the refuter, what one value can hold, races."""
