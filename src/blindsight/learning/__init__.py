"""Plaintext mathematics of learning: no keys, no sockets, no files.

From updates (Yonetani et al., "Privacy-Preserving Visual Learning with Doubly Permuted Homomorphic
Encryption", ICCV 2017): users update the weights on their own data, only the sum of their weights is
seen. No step knows a scheme; sums are integers in and integers out.

    descent      elastic-net SGD, one class against the rest
    classifier   the same as a scikit-learn estimator
    fixed_point  weights to the integers that a private sum adds up, and back
    rounds       distribute, update, combine

From scrambled images (Kawamura, Kinoshita and Kiya, 2020): ``etc_features``, ``etc_svm``, ``etc_training``
and ``etc_model``.
"""
