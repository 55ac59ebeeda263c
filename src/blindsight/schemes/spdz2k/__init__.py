"""Two parties, active security: whether a face is on an agreed list, and nothing else.

A camera masks a face for two parties who hold the same watchlist. The distances to all entries
are linear in the masked values and need no message; the comparison with the threshold takes
three short rounds and opens one bit an entry. ``specs/two-party.md`` has the protocol, the
argument and the bytes.

Threat model: one of the two parties may deviate in any way; it then ends the session, and can
neither learn more than the bits nor make the other accept a wrong one. The dealer of the
randomness (the camera itself, or a provider) follows the protocol and colludes with neither.

    section of the specification            here
    2  numbers, the watchlist, dummies      `params.Params`, `watchlist.Watchlist`, `share.quantise`
    3  authenticated shares                 `compute.Comparison`
    4  what the dealer makes                `deal.Dealer`, `share.Sharer`
    5  the comparison function              `blindsight.kernels.dcf`
    6  the run                              `compute.Session`, `compute.Comparison`
    8  bytes                                `public`, `messages`
    9  aborts                               `blindsight.core.errors.AbortError` and below

    thesis of W. Koch (2020)                here
    2.1.3  MACs                             `compute.Comparison`, pairwise instead of shared keys
    3.1  identifying faces                  `compute.Comparison`
    3.3  corrupted parties                  the checks of `compute.Comparison.receive`
    3.4  dummy faces                        `share.Sharer.share`
"""
