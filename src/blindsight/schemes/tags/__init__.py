"""What binds a sum to its users and their updates: linear one-time tags. Not a scheme.

Under additive encryption an aggregator could hand the key holder one user's update, or a sum with
somebody dropped or doubled, and it would decrypt like any other. So each ciphertext carries, beside
its weights, ``<a, v> + t`` modulo a prime: ``a`` is drawn from a secret of the users and the key
holder, ``t`` from one of this user and the key holder, both anew each round. Tags add up as the
weights do; a sum of other updates than those it names shows a wrong tag. ``specs/secure-sums.md``,
section 5.
"""
