"""What the package does to the system outside itself: signals it sends, files it writes. One module owns each."""
