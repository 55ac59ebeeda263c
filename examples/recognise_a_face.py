"""One enrolled person among generated templates, recognised from an altered photo.

Parties: *you* have photos, the vault and its keys; *the matcher* has ciphertexts. You learn who is on
a photo, or that nobody known is. The matcher learns that somebody was looked for.
"""

import os
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from skimage.data import astronaut

from blindsight import Embedding, Gallery, Unlock, Vault, open_embedder, read_image

pipeline = open_embedder("dlib")
model = pipeline.embedder
generator = np.random.default_rng(7)


def generated() -> Embedding:
    """A template as long as real ones, of nobody."""
    direction = generator.standard_normal(model.dimension)
    return Embedding(1.43 * direction / np.linalg.norm(direction), model.model_id)


with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    Pillow.fromarray(astronaut()).save(folder / "portrait.png")
    Pillow.fromarray(astronaut()).crop((110, 0, 400, 290)).save(folder / "later.jpg", quality=40)

    vault = Vault.create(folder / "vault", Unlock(passphrase="correct horse battery staple"))
    gallery = Gallery.create(
        vault,
        "crew",
        model_id=model.model_id,
        dimension=model.dimension,
        metric=model.metric,
        threshold=model.threshold,
        radius=model.radius,
        matcher=folder / "matcher",
    )
    portrait = read_image(folder / "portrait.png")
    people = [(f"generated {n}", generated(), os.urandom(32)) for n in range(300)]
    gallery.enroll([("Eileen Collins", pipeline.largest_face(portrait), portrait.sha256 or b""), *people])

    known, stranger = gallery.identify(
        [pipeline.largest_face(read_image(folder / "later.jpg")), generated()], k=2
    )
    certificate = gallery.erase("Eileen Collins")
    gone = gallery.identify([pipeline.largest_face(portrait)])[0]
    gallery.close()
    vault.close()

print(f"the altered photo: {known.subject}, distance {known.score:.2f}, threshold {known.threshold}")
print(f"a stranger:        {stranger.subject or 'unknown'}")
print(f"after erasure:     {gone.subject or 'unknown'}; certificate of {certificate['at']}")

assert known.match
assert known.subject == "Eileen Collins"
assert not stranger.match
assert stranger.subject is None
assert not gone.match
