"""Private sums in a Flower project: a strategy for its ServerApp, a mod for its ClientApp.

    strategy   `PrivateSum`, in place of FedAvg: sees no update, only sums
    client     `private_sum`, a mod: turns trained arrays into protected updates

Needs the extra ``flower``. Who learns what is each scheme's ``LEAKAGE``; ``docs/learning.md`` says how
to use them.
"""
