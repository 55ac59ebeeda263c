"""One package a scheme, all of the same inner shape."""
