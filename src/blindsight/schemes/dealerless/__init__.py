"""Two parties, active security, no dealer: SPDZ2k with everything made by oblivious transfer.

The source ``none`` of the two-party scheme. ``specs/dealerless.md`` has the protocol, the argument
and the bytes. Threat model: one of the two parties may deviate in any way; it then ends the session,
and can neither learn more than the bits that are shown nor make the other accept a wrong one.

    section of the specification                here
    2  numbers                                  `params.Sizes`
    4  authenticated shares (2018/482)          `shared.Shared`, `party.Party`
    5  the check                                `party.Party.check`
    6  triples, squares (2018/482)              `products.Maker`
    7  random bits (2019/599)                   `bits.random_bits`
    8  Π_MSB, Π_LTZ, Π_LT                       `compare`
    9  a private probe                          `probe.probe`
    10 a list that is secret-shared             `probe.probe_hidden`
    11 preparation                              `prepared`

Protocols are generators (`blindsight.schemes.spdz2k.talk`).
"""
