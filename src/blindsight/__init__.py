"""Blindsight recognises people on computers that never see them.

EncryptedIndex   vectors on a machine that sees neither vectors, queries nor scores
Gallery, Vault   people by their photos, with the keys in an encrypted file
match_crowds     a crowd of probes with everybody in a gallery, in one call
open_embedder    photos to embeddings
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blindsight.core.types import Candidate, Decision, Embedding
    from blindsight.trusted.crowds import CrowdMatch, match_crowds
    from blindsight.trusted.deciding import Policy
    from blindsight.trusted.gallery import Gallery
    from blindsight.trusted.index import EncryptedIndex, SearchResult
    from blindsight.trusted.sealing import Unlock
    from blindsight.trusted.vault import Vault
    from blindsight.vision import open_embedder, read_image

__version__ = "0.1.0"

__all__ = [
    "Candidate",
    "CrowdMatch",
    "Decision",
    "Embedding",
    "EncryptedIndex",
    "Gallery",
    "Policy",
    "SearchResult",
    "Unlock",
    "Vault",
    "__version__",
    "match_crowds",
    "open_embedder",
    "read_image",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that a blind machine loads no trusted code."""
    room: Any
    match name:
        case "Candidate" | "Decision" | "Embedding":
            import blindsight.core.types as room
        case "CrowdMatch" | "match_crowds":
            import blindsight.trusted.crowds as room
        case "Gallery":
            import blindsight.trusted.gallery as room
        case "Policy":
            import blindsight.trusted.deciding as room
        case "EncryptedIndex" | "SearchResult":
            import blindsight.trusted.index as room
        case "Unlock":
            import blindsight.trusted.sealing as room
        case "Vault":
            import blindsight.trusted.vault as room
        case "open_embedder" | "read_image":
            import blindsight.vision as room
        case _:
            raise AttributeError(f"module 'blindsight' has no attribute {name!r}")
    return getattr(room, name)


def __dir__() -> list[str]:
    return sorted(__all__)
