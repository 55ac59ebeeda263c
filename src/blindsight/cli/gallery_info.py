"""``blindsight gallery info``: all about one gallery, in the words of its own scheme."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blindsight.cli.opening import Keys
from blindsight.cli.options import GalleryName, Json, KeyFile, PassphraseFile, VaultPath
from blindsight.cli.output import Output, clean, fields, plural, size

if TYPE_CHECKING:
    from blindsight.core.claims import Leakage
    from blindsight.core.matching import GalleryInfo
    from blindsight.trusted.gallery import Gallery


def info(
    name: GalleryName,
    vault: VaultPath = None,
    passphrase_file: PassphraseFile = None,
    key_file: KeyFile = None,
    as_json: Json = False,
) -> None:
    """What a gallery holds, how it is protected, and who learns what."""
    output = Output(as_json)
    from blindsight.blind.engines import ENGINES

    with Keys(vault, passphrase_file, key_file).gallery(name) as gallery:
        gallery.sync()
        known = gallery.info()
        engine = ENGINES[known.scheme]
        content = _content(gallery, known) | {"claim": engine.claim.value}
        params = engine.params(known.params)
        noise, noise_of = _noise(gallery, getattr(params, "noise", 0.0) if params.largest_error else 0.0)
        content["parameters"] = dict(params.wire()) | {"params_id": params.params_id}
        content |= {"predicted_noise": noise, "noise_of": noise_of}
        content["bytes"] = {
            "stored": known.stored_bytes,
            "block": params.head_bytes + params.body_bytes,
            "probe": params.probe_bytes,
            "answer": params.answer_bytes * known.blocks,
        }
    leakage = engine.leakage
    content["leakage"] = {role: list(sentences) for role, sentences in leakage.learns}
    content["not_claimed"] = list(leakage.not_claimed)
    output.document(content)
    _show(output, content, leakage)


def _content(gallery: Gallery, known: GalleryInfo) -> dict[str, Any]:
    policy, encoding = gallery.policy, gallery.session.identity.encoding
    return {
        "gallery": gallery.name,
        "gallery_id": known.gallery_id,
        "subjects": len(gallery.subjects()),
        "templates": len(gallery),
        "blocks": known.blocks,
        "revision": known.revision,
        "scheme": known.scheme,
        "embedder": gallery.embedder,
        "model_id": gallery.model_id,
        "metric": encoding.metric,
        "dimension": encoding.dimension,
        "threshold": policy.threshold,
        "show_scores": policy.show_scores,
        "daily_probes": policy.daily_probes,
        "key_id": known.key_id,
        "certificate_public_key": gallery.certificate_key(),
    }


def _noise(gallery: Gallery, integer: float) -> tuple[float, str]:
    """Standard deviation of the error of what the gallery's metric compares, and what that is."""
    encoding = gallery.session.identity.encoding
    what = "a squared distance" if encoding.metric == "euclidean" else "a similarity"
    return integer * encoding.score_unit, what


def _show(output: Output, content: dict[str, Any], leakage: Leakage) -> None:
    sizes = content["bytes"]
    output.show(
        f"{content['gallery']}: {plural(content['subjects'], 'subject')}, "
        f"{plural(content['templates'], 'template')}",
        "bold",
    )
    noise = content["predicted_noise"]
    budget = content["daily_probes"]
    shown = {
        "scheme": f"{content['scheme']}, claim {content['claim']}",
        "noise": f"standard deviation {noise:.2g} on {content['noise_of']}" if noise else "none",
        "embedder": f"{content['embedder'] or '?'} ({content['model_id']}), "
        f"{content['dimension']} coordinates",
        "decides by": f"{content['metric']}, threshold {content['threshold']:g}",
        "policy": ("scores shown" if content["show_scores"] else "scores hidden")
        + (f", {budget:,} probes a day" if budget else ", any number of probes"),
        "on the matcher": f"{size(sizes['stored'])} in {plural(content['blocks'], 'block')}, "
        f"revision {content['revision']}",
        "a probe": f"{size(sizes['probe'])} up, {size(sizes['answer'])} down",
        "parameters": ", ".join(f"{key} {value}" for key, value in content["parameters"].items()),
        "gallery id": content["gallery_id"],
        "key id": content["key_id"],
        "certificates": f"signed by {content['certificate_public_key']}",
    }
    output.show(fields(**shown))
    for role, sentences in leakage.learns:
        output.show(f"\nThe {role} learns", "bold")
        for sentence in sentences:
            output.show(f"  - {clean(sentence)}")
    if leakage.not_claimed:
        output.show("\nNot claimed", "bold")
        for sentence in leakage.not_claimed:
            output.show(f"  - {clean(sentence)}")
