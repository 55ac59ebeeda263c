"""Arrays in, arrays out: modular arithmetic, transforms and sampling. Knows no scheme."""
