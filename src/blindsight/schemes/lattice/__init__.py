"""Encrypted 1:N search at plaintext speed: this project's own scheme.

Gallery and probes are encrypted under module-LWE keys that only the key holder has; the
matcher computes all inner products on ciphertexts, one multiply-accumulate for each template
coordinate. ``specs/lattice.md`` has the construction, the argument and the bytes.

Threat model: the matcher is honest but curious. It learns the number of blocks, the width of
a template, when and which blocks change and when probes happen; never a template, a probe or
a score. It is not forced to answer correctly; an answer that cannot be right is noticed.

    section of the specification        here
    3  keys                             `secret.SecretKey`
    4  blocks                           `protect.protect_blocks`, `reveal.open_block`
    5  probes                           `protect.protect_probes`
    6  matching                         `compute.ENGINE`
    7  hints and reveal                 `reveal.hints`, `reveal.reveal`
"""
