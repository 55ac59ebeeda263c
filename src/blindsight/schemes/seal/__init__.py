"""What the schemes `bfv` and `ckks` share: Microsoft SEAL, through TenSEAL's ``sealapi``.

Not a scheme. One coordinate of all templates of a block lies in one ciphertext, so the inner
products of a whole block are ``sum of G_i * P_i`` over the coordinates, without a rotation;
``specs/bfv.md`` and ``specs/ckks.md`` say the rest.

    params     the ring, the 128-bit table, and the sizes of everything that travels
    library    the one door to SEAL: contexts, and bytes to ciphertexts and back
    packing    residues to bytes and bits
    session    evaluation keys, sent once, in pieces, by digest
    public     where each byte of a block, a probe and an answer lies; what is checked of it
    compute    the matcher's half
    secret     the key, grown from 32 bytes; block tags and check rows
    protect    templates and probes to ciphertexts
    reveal     answers to scores, blocks to templates, and the key holder
"""
