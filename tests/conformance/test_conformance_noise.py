"""The noise of approximate schemes: as predicted, never more than promised, and it never adds up."""

import numpy as np
import pytest

from blindsight.kernels.sampling import SIGMA
from blindsight.schemes.lattice.params import Params
from blindsight.schemes.lattice.reveal import LatticeKeyHolder
from blindsight.schemes.lattice.secret import SecretKey
from conformance.cases import CASES, SCHEMES, Case, case

APPROXIMATE = [key for key in CASES if not SCHEMES[key[0]].exact]
SCORES = 20_000


def errors(c, templates, probes):
    """Errors of at least `SCORES` scores of given rows of templates against given probes."""
    found = []
    while sum(map(np.size, found)) < SCORES:
        scores = c.search(templates, probes)
        found.append((scores - c.expected(templates, probes))[:, : len(templates)].ravel())
    return np.concatenate(found)


@pytest.mark.parametrize("key", APPROXIMATE, ids=lambda key: "-".join(map(str, key)))
def test_the_noise_is_the_predicted_one(key):
    c = case(key)
    rng = np.random.default_rng(1)
    templates = c.encoding.templates(c.unit(rng, 2 * c.params.rows)).values
    found = errors(c, templates, c.encoding.probes(c.unit(rng, 24 if c.seal else 40)).values)
    assert len(found) >= SCORES
    assert abs(found).max() <= c.params.largest_error
    assert found.std() == pytest.approx(c.params.noise, rel=0.15)
    # Scores of one probe share its error, so that only probes are independent of each other.
    means = found.reshape(-1, len(templates)).mean(axis=1)
    assert abs(means.mean()) < 5 * means.std() / len(means) ** 0.5


@pytest.mark.parametrize(
    ("whole", "terms"),
    [
        ("neither", ("both", "dropped")),
        ("probes", ("gallery", "both", "dropped")),
        ("templates", ("probe", "both", "dropped")),
    ],
)
def test_each_term_of_the_noise(whole, terms):
    """Zero vectors on one side or both leave only some of the four terms of `Params.noise`."""
    c = case(("lattice-approximate", "cosine", 128))
    p, rng = c.params, np.random.default_rng(2)
    sizes = {
        "gallery": SIGMA * 2**16,
        "probe": SIGMA * 2**12 * 16,
        "both": SIGMA**2 * (128 * 256) ** 0.5,
        "dropped": 2**14 / 12**0.5,
    }
    templates = np.zeros((512, p.width), np.int32)
    probes = np.zeros((40, p.width), np.int32)
    if whole == "templates":
        templates = c.encoding.templates(c.unit(rng, 512)).values
    if whole == "probes":
        probes = c.encoding.probes(c.unit(rng, 40)).values
    found = errors(c, templates, probes)
    assert found.std() == pytest.approx(np.hypot.reduce([sizes[term] for term in terms]), rel=0.08)
    assert p.noise == pytest.approx(np.hypot.reduce(list(sizes.values())), rel=0.005)


def test_the_noise_of_two_primes_without_rounding():
    """Sets that need not be exact give real numbers, also with two primes."""
    c = Case("lattice-approximate", "cosine", 16)
    e = c.encoding
    c.params = Params(
        16, (1_073_732_609, 1_073_738_753), 9, 2**6, 2**6,
        e.template_norm, e.probe_norm, e.score_bound, 1e6,
    )  # fmt: skip
    assert not c.params.exact
    c.holder = LatticeKeyHolder(SecretKey.generate(c.params))
    found = errors(
        c, np.resize(c.templates, (512, 16)), e.probes(c.unit(np.random.default_rng(3), 40)).values
    )
    assert abs(found).max() <= 9.5 * c.params.noise
    assert found.std() == pytest.approx(c.params.noise, rel=0.15)


@pytest.mark.parametrize(
    "key", [key for key in CASES if key[2] == 16], ids=lambda key: "-".join(map(str, key[:2]))
)
def test_protecting_again_and_again_changes_nothing(key):
    """Fifty times opened and protected: the same templates, fresh bytes, no more noise.

    Five times with SEAL.
    """
    c = case(key)
    times, asked = (5, 16) if c.seal else (50, 80)
    templates = np.resize(c.templates, (c.params.rows, c.params.width))
    head, body = c.holder.protect_block(templates)
    heads, bodies = {head}, {body.tobytes()}
    for _ in range(times):
        opened = c.holder.open_block(head, body)
        np.testing.assert_array_equal(opened, templates)
        head, body = c.holder.protect_block(opened)
        heads.add(head)
        bodies.add(body.tobytes())
    if c.hides:
        assert len(heads) == len(bodies) == times + 1
    probes = c.encoding.probes(c.unit(np.random.default_rng(4), asked)).values
    sent, kept = c.holder.protect_probes(probes)
    prepared = c.holder.prepare([head], c.holder.hints([head], body[np.newaxis]))
    scores = c.holder.reveal(kept, prepared, c.match(body[np.newaxis], sent))
    expected = c.expected(templates, probes)
    c.check(scores, expected)
    if not c.exact:
        assert (scores - expected).std() == pytest.approx(c.params.noise, rel=0.15)
