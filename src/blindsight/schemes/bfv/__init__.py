"""Encrypted search with exact integers: Brakerski/Fan-Vercauteren on Microsoft SEAL.

The standard scheme of Morita et al. (person re-identification, 2018) on a standard library:
quantised features, integers modulo a prime that no score reaches, scores equal to the
plaintext's to the bit. ``specs/bfv.md`` has layout, noise bounds and bytes.

Threat model: the matcher is honest but curious. It learns the number of blocks, the width of
a template, when blocks change and when probes happen; never a template, a probe or a score.

The other way about, `watch` compares an encrypted probe with templates that the server has in
plaintext: it learns nothing of the probe, and the client nothing of the templates but scores.

    Morita et al.                       here
    II-B  choice of p and m             `blindsight.encoding.rings`: `plan_parameters`, `plan_ring`, `slots`
    II-C  N * 2^(2g) < p                `params.Params`: twice the largest score is below p
    II-B  distance without decryption   `compute.ENGINE`
"""
