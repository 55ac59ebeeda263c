"""Plaintext mathematics of learning: no keys, no sockets, no files."""
