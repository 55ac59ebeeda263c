"""Write lattice.json: known answers of the lattice scheme, computed by the naive reference alone.

    python tests/schemes/vectors/generate.py

Nothing here imports the project: polynomials are Python integers, transforms are evaluations,
and random bytes are encryptions of a counter (tests/reference). Takes a few seconds.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

import numpy as np  # noqa: E402

from reference import ring  # noqa: E402
from reference.lattice import Lattice  # noqa: E402

SETS = {
    "approximate": {
        "width": 16, "primes": "1073738753", "rank": 5, "template_factor": 1, "probe_factor": 1,
        "template_norm": 4099, "probe_norm": 65539, "score_bound": 268_640_000,
        "noise_limit": (500_000.0).hex(),
    },
    "integers": {
        "width": 16, "primes": "1073732609,1073738753", "rank": 9, "template_factor": 2**17,
        "probe_factor": 2**21, "template_norm": 1027, "probe_norm": 1027, "score_bound": 1_054_730,
        "noise_limit": (0.5 / 9.5).hex(),
    },
}  # fmt: skip

ROWS = 100


def digest(data):
    return hashlib.sha256(data).hexdigest()


def sequence(count, width, step, size):
    """Integers in [-size, size] from a plain recipe: ((row * 31 + column * step) mod (2 size + 1)) - size."""
    return [
        [(row * 31 + column * step) % (2 * size + 1) - size for column in range(width)]
        for row in range(count)
    ]


def vector(name, fields):
    parameters = SimpleNamespace(**{**fields, "primes": tuple(map(int, fields["primes"].split(",")))})
    seeds = {
        who: hashlib.sha256(f"blindsight {name} {who} seed".encode()).digest()
        for who in ("key", "block", "probe noise", "probe matrix")
    }
    key = Lattice(parameters, seeds["key"])
    size = parameters.template_norm // 4
    templates = sequence(ROWS, parameters.width, 7, size)
    probe = sequence(1, parameters.width, 11, parameters.probe_norm // 4)[0]
    block = key.protect_block(templates, seeds["block"])
    body = key.to_bytes(block)
    beta, kept = key.protect_probe(probe, seeds["probe noise"], seeds["probe matrix"])
    answer = key.match(block, beta)
    hint = key.hint(block)
    raw = key.reveal(kept, seeds["block"], hint, answer)
    assert [list(row) for row in key.open_block(block, seeds["block"])[:ROWS]] == templates
    matrix = np.array(key.matrix_values(seeds["block"]))
    residue = int(np.frombuffer(body, "<i4")[0])
    return {
        "params": fields,
        "seeds": {who: seed.hex() for who, seed in seeds.items()},
        "key_id": key.key_id,
        "templates": {"rows": ROWS, "step": 7, "size": size},
        "probe": probe,
        "public_matrix_sha256": digest(ring.tile(matrix).astype("<i4").tobytes()),
        "noise_sha256": digest(key.noise(seeds["block"]).astype("<i8").tobytes()),
        "body_sha256": digest(body),
        "probe_sha256": digest(key.to_bytes(beta)),
        "hint_sha256": digest(key.to_bytes(hint)),
        "answer_sha256": digest(np.array(answer, f"<i{2 * len(parameters.primes)}").tobytes()),
        "scores_times_unit": [int(score) for score in raw],
        "failures": [
            {"what": "another head", "head": seeds["key"].hex(), "code": "tampered"},
            {"what": "lowest bit of the first residue flipped", "flip": [0, 1], "code": "tampered"},
            {
                "what": "lowest bit of the last residue flipped",
                "flip": [len(body) - 4, 1],
                "code": "tampered",
            },
            {
                "what": "the first residue, not reduced",
                "residue": residue + (parameters.primes[0] if residue < 0 else -parameters.primes[0]),
                "code": "malformed",
            },
            {"what": "four bytes short", "length": len(body) - 4, "code": "malformed"},
            {"what": "a head of 31 bytes", "head": seeds["block"][:31].hex(), "code": "malformed"},
        ],
    }


def main():
    document = {
        "provenance": "tests/schemes/vectors/generate.py, from the formulas of the design with Python "
        "integers (tests/reference); the project's own code takes no part.",
        "vectors": {name: vector(name, fields) for name, fields in SETS.items()},
    }
    (HERE / "lattice.json").write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main()
