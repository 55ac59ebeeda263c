"""Bytes to types: messages, HTTP, limits. Every socket and file format; no pickle."""
