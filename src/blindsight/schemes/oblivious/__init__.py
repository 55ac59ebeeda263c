"""Oblivious transfers and tags between two parties without any dealer, with active security.

Threat model: one of the two parties may deviate in any way. It learns nothing of the other's choice
bits, strings, inputs and MAC key but by guesses that end everything when they are wrong.
``specs/oblivious.md`` has the protocol, the argument and the bytes.

    section of the specification               here
    2  hashes and streams                      `hashes`, `blindsight.kernels.leaves`
    3  base transfers (ePrint 2019/706)        `base`
    4  sixteen seeds, all but one              `trees`
    5  transfers (2022/192, 2019/074)          `transfers`
    6  tags (2018/482)                         `tags`
    7  coins and commitments                   `coins`
    8  state                                   `session.Oblivious`

Protocols are generators (`blindsight.schemes.spdz2k.talk`).
"""
