"""Real people: the encrypted gallery ranks and decides as the plaintext one does.

Enrolled from one photo, probed with another. A difference is allowed only where two plaintext
scores, or a score and the threshold, are closer than the noise bound; the tests count how
often that happens, and bound the error of every single score.
"""

from dataclasses import dataclass
from hashlib import sha256

import numpy as np
import pytest

from blindsight import Gallery, Unlock, Vault, open_embedder, read_image
from blindsight.core.types import Embedding
from blindsight.schemes.lattice.params import Params
from real_data import DATA, needs

pytestmark = pytest.mark.data

CERTAIN = 9.5


@dataclass
class Outcome:
    """What two galleries said of the same probes."""

    protected: list
    clear: list


def galleries(tmp_path, people, probes, *, precision="approximate", **model):
    """Enrol and identify with the lattice scheme and with its plaintext twin."""
    vault = Vault.create(tmp_path / "vault", Unlock("a passphrase for tests"))
    decided = {}
    for scheme in ("lattice", "clear"):
        gallery = Gallery.create(
            vault,
            scheme,
            matcher=tmp_path / scheme,
            scheme=scheme,
            precision=precision,
            insecure_clear=scheme == "clear",
            **model,
        )
        gallery.enroll([(name, e, sha256(name.encode()).digest()) for name, e in people])
        decided[scheme] = gallery.identify(probes, k=5)
        if scheme == "lattice":
            encoding = gallery.session.identity.encoding
            params = Params.from_wire(gallery.session.identity.params)
            noise = params.noise / (encoding.template_scale * encoding.probe_scale)
        gallery.close()
    vault.close()
    return Outcome(decided["lattice"], decided["clear"]), noise


def compare(outcome, bound):
    """Assert agreement to within ``bound(score)``; how often the best match differed at all."""
    differing = 0
    for protected, clear in zip(outcome.protected, outcome.clear, strict=True):
        scores = {c.subject: c.score for c in clear.candidates}
        for candidate in protected.candidates:
            if candidate.subject in scores:
                assert abs(candidate.score - scores[candidate.subject]) <= bound(scores[candidate.subject])
        best, second = clear.candidates[:2]
        if protected.candidates[0].subject != best.subject:
            assert abs(best.score - second.score) <= 2 * bound(best.score)
            differing += 1
        if protected.match != clear.match:
            assert abs(best.score - clear.threshold) <= bound(best.score)
            differing += 1
    return differing


@needs("embeddings", "lfw_fold01-08_mobilefacenet128.npz")
def test_thousands_of_people_under_the_cosine(tmp_path):
    stored = np.load(DATA / "embeddings" / "lfw_fold01-08_mobilefacenet128.npz")
    photos: dict[str, list] = {}
    for name, vector in zip(stored["names"], stored["emb"], strict=True):
        photos.setdefault(str(name).split("/")[0], []).append(Embedding(vector, "mobilefacenet"))
    strangers = sorted(photos)[::7]
    enrolled = sorted(set(photos) - set(strangers))
    known = [name for name in enrolled if len(photos[name]) > 1][:600]
    outcome, noise = galleries(
        tmp_path,
        [(name, photos[name][0]) for name in enrolled],
        [photos[name][1] for name in known] + [photos[name][0] for name in strangers[:200]],
        model_id="mobilefacenet",
        dimension=128,
        metric="cosine",
        threshold=0.35,
    )
    assert len(enrolled) > 2000
    assert compare(outcome, lambda _: CERTAIN * noise) <= 8
    first = [d.candidates[0].subject == name for d, name in zip(outcome.protected, known, strict=False)]
    assert sum(first) >= 0.95 * len(known)
    assert 50 <= sum(d.subject is None for d in outcome.protected[len(known) :]) <= 190


@needs("lfw", "gallery_ids.txt")
@pytest.mark.parametrize("precision", ["approximate", "exact"])
def test_photos_of_lfw_people_with_dlib(tmp_path, precision):
    pipeline = open_embedder("dlib")
    names = [name.strip() for name in (DATA / "lfw" / "gallery_ids.txt").read_text().split()][:30]
    embedded = {}
    for name in names:
        for photo in sorted((DATA / "lfw" / "images" / name).glob("*.jpg"))[:2]:
            embedded.setdefault(name, []).append(pipeline.largest_face(read_image(photo)))
    enrolled, strangers = names[:24], names[24:]
    model = pipeline.embedder
    outcome, noise = galleries(
        tmp_path,
        [(name, embedded[name][0]) for name in enrolled],
        [embedded[name][1] for name in names],
        precision=precision,
        model_id=model.model_id,
        dimension=model.dimension,
        metric=model.metric,
        threshold=model.threshold,
        radius=model.radius,
    )

    def bound(distance):
        """An error of d^2 of at most 2 r^2 noise, as an error of d."""
        squared = 2 * model.radius**2 * CERTAIN * noise
        return max((distance**2 + squared) ** 0.5 - distance, distance - max(distance**2 - squared, 0) ** 0.5)

    differing = compare(outcome, bound)
    assert differing == 0 if precision == "exact" else differing <= 2
    right = [d.subject == name for d, name in zip(outcome.protected, enrolled, strict=False)]
    assert sum(right) >= 22
    assert sum(d.subject is None for d in outcome.protected[len(enrolled) :]) >= len(strangers) - 1
