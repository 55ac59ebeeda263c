"""Sums by masks that cancel, with recovery of users who drop out. No key holder.

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal and Seth, "Practical Secure
Aggregation for Privacy-Preserving Machine Learning" (CCS 2017), figure 4 with the parts for an
active aggregator; where fewer neighbours than all others are asked for, on the circulant graph of
Bell, Bonawitz, Gascon, Lepoint and Raykova (CCS 2020). ``specs/secure-sums.md``, section 9.

    params     neighbours, threshold; refuses what a split view could break
    public     adverts, lists and the graph as bytes
    shamir     shares of a secret
    agreement  X25519 secrets to seeds and keys
    secret     a user's signing identity
    protect    a user's half, five steps; refuses what a lying aggregator asks
    compute    the aggregator's half
    reveal     totals to integers; no key is needed
"""
