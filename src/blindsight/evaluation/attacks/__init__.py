"""What schemes of weaker claims are worth, measured by breaking them. None of this has a key."""
