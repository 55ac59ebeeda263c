"""Block-scrambled images: what an image shows is hidden from the eye, and JPEG still compresses it.

Known as *encryption-then-compression* (EtC) images. Claim: PERCEPTUAL. This is obfuscation with a key
and not encryption: the same permutation under one key for every image, block contents left as they are.
One known pair of images opens all others under that key, many images under one key can be put together
without it, and distances between images are those of the originals, by design. ``docs/etc-images.md``
has the measurements; ``specs/etc-image.md`` every byte.

Who learns what is in `public.LEAKAGE`. Whoever has the key can undo it; whoever has an image learns its
size and the grey levels of every block.

    Kawamura, Kinoshita, Kiya, "Privacy-Preserving Machine Learning Using EtC Images"    here
    section 2, figure 1: permutation, rotation and inversion, negative-positive          `protect`
    its reference 2 and 3: planes of a colour image as one grey image                    `params`, `protect`
    section 3.2: distances and, after z-scores, inner products are preserved             `public`
"""
