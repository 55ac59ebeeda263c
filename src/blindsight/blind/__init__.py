"""May see neither faces nor secret keys: the gallery store and the matcher."""
