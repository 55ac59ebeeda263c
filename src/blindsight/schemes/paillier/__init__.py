"""Sums under the Paillier cryptosystem, many weights in a plaintext.

Paillier, "Public-Key Cryptosystems Based on Composite Degree Residuosity Classes" (1999), with
g = n + 1; the randomiser ``h^r`` with short exponents of Damgard, Jurik and Nielsen, "A
generalization of Paillier's public-key system with applications to electronic voting" (2010),
section 4.2, from fixed-base tables. ``specs/secure-sums.md``, section 6.

Users see their own update, the aggregator ciphertexts and who took part, the key holder the sum and
who is in it. Assumptions: decisional composite residuosity, and that ``h^r`` with r of half the
modulus' length cannot be told from one with a full-length r.

    params   sizes, guard bits, packing; refuses short keys and too many users
    public   the public key
    secret   key generation, decryption's constants
    protect  a user's half: pack, tag, encrypt
    compute  the aggregator's half: products of ciphertexts
    reveal   the key holder's half: decrypt by CRT, check tags
"""
