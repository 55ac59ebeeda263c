"""Sums under BFV, on Microsoft SEAL: exact, fast, under the key generator's key.

Fan and Vercauteren, "Somewhat Practical Fully Homomorphic Encryption" (2012); only encryption under
a public key, addition and decryption are used. Two weights share a slot where they fit. Same roles
and tags as `paillier`; ``specs/secure-sums.md``, section 8.
"""
