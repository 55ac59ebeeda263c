"""Frozen types, Protocols, errors and claims: the vocabulary of every other room.

Imports nothing of the project's.
"""
