"""Doubly-permuted homomorphic encryption: sums of sparse updates.

Yonetani, Boddeti, Kitani and Sato, "Privacy-Preserving Visual Learning with Doubly Permuted
Homomorphic Encryption" (ICCV 2017), section 3, over this project's `paillier`. Only non-zero weights
are encrypted. Where they are is hidden from the aggregator by P, which all users share, and from
who listens between user i and the aggregator by P(i), which these two share. The number of non-zeros may
differ from user to user. ``specs/secure-sums.md``, section 7.

It leaks by design, see `compute.LEAKAGE`; ``evaluation/attacks/dphe_supports`` recovers P from
some tens of rounds where it is used again. Two remedies are parameters: ``fresh`` (another P each
round, the default) and ``padded`` (all users send equally many).
"""
