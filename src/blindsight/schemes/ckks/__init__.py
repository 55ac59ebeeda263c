"""Encrypted search with approximate reals: Cheon-Kim-Kim-Song on Microsoft SEAL.

The standard scheme of Yang et al. (privacy enhanced cloud-based facial recognition, 2021).
``specs/ckks.md`` has layout, noise bounds and bytes.

Threat model: the matcher is honest but curious. It learns the number of blocks, the width of
a template, when blocks change and when probes happen; never a template, a probe or a score.

    Yang et al.                                  here
    4.2  keys sent once                          `pairs.EvaluationKeys`, `seal.session.KeyRoom`
    4.3  subtract, square, sum by rotations      `pairs.compare`, `pairs.compare_by_single_rotations`
    4.3  the same sum without rotations or keys  `distance.compare`, the one to use
    4.3  square root at the client               `reveal.DistanceKeyHolder`, `reveal.PairKeyHolder`
    4.4  identification, not measured there      `compute.ENGINE`: many templates in a ciphertext
"""
