"""Footage that two parties keep and only both together can look at.

Parties: *the camera*, which sees the picture and signs what it shares; *P0* and *P1*, who keep one
share each and learn nothing from it but camera, time and size; *the revealer*, who gets an opening of
each. P0 agrees to the reveal but for one region. Writes ``footage.png``: what P0 holds, what P1
holds, what is revealed.
"""

from datetime import UTC, datetime

import numpy as np
import PIL.Image
import skimage.data
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from blindsight.core.errors import TamperedError
from blindsight.schemes.footage.compute import Region, check, open_share
from blindsight.schemes.footage.protect import share_still
from blindsight.schemes.footage.public import About, parse_share
from blindsight.schemes.footage.reveal import reveal

# The camera
key = Ed25519PrivateKey.generate()
frame = skimage.data.astronaut()
now = datetime.now(UTC)
seed, body = share_still(frame, About("north gate", 0, now, now), key)
to_p1, to_p0 = seed.encode(), body.encode()
print(f"{frame.size:,} bytes of pixels; to P0 {len(to_p0):,} bytes, to P1 {len(to_p1):,}")

# Each party, when its share arrives
at_p0, at_p1 = parse_share(to_p0), parse_share(to_p1)
for share in (at_p0, at_p1):
    check(share, key.public_key())

# Both consent; P0 withholds the upper right corner
opening = open_share(at_p0, withhold=[Region(320, 0, 512, 192)])
shown = reveal(opening, at_p1, key.public_key())
assert shown.withheld[:192, 320:].all()
assert (shown.pixels[~shown.withheld] == frame[~shown.withheld]).all()

# P0 would rather have shown something else
forged = bytearray(to_p0)
forged[-1] ^= 1
try:
    reveal(parse_share(bytes(forged)), at_p1, key.public_key())
except TamperedError as error:
    print(error)
else:
    raise AssertionError("a changed share was accepted")

views = [open_share(share).body.reshape(frame.shape) for share in (at_p0, at_p1)]
for view in views:  # as even as noise is: a share's mean grey does not tell day from night
    assert abs(view.mean() - 127.5) < 1.0
PIL.Image.fromarray(np.hstack([*views, shown.pixels])).save("footage.png")
