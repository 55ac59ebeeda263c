"""Who deals for cameras that are too weak to: makes what is secret between two parties, sees no face."""
