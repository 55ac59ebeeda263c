"""Every error a caller can meet, each with one sentence that says what to do.

The message is for a person; ``code`` is for a program and travels over the wire (RFC 9457
``type``). No message contains a template, a key, a share or a score.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from blindsight.core.evidence import Evidence


class BlindsightError(Exception):
    """Base of all errors that this project raises on purpose."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


# -- what the caller asked for -------------------------------------------------------------


class UsageError(BlindsightError):
    """The request itself makes no sense: an unknown name, a missing argument, a bad path."""

    code = "usage"


class ParameterError(UsageError):
    """A parameter set that must not exist."""

    code = "parameters"


class InsecureParametersError(ParameterError):
    """Below 128 bits of security, by the table the scheme cites."""

    code = "parameters-insecure"


class InaccurateParametersError(ParameterError):
    """Scores would wrap, or their noise would exceed what the caller can bear."""

    code = "parameters-inaccurate"


class VectorError(UsageError):
    """A vector that cannot become a template: zero, NaN, infinite, out of range."""

    code = "vector"


class DimensionError(VectorError):
    """A vector of another dimension than the gallery's."""

    code = "dimension"


class DuplicateError(UsageError):
    """An identifier or a name that is already taken."""

    code = "duplicate"


# -- pictures ------------------------------------------------------------------------------


class ImageError(BlindsightError):
    """A picture that cannot be used; the message says why and what to do."""

    code = "image"


class UnreadableImageError(ImageError):
    """Not an image, truncated, corrupt, or of an unsupported kind."""

    code = "image-unreadable"


class ImageTooLargeError(ImageError):
    """More pixels or bytes than the stated limit."""

    code = "image-too-large"


class ImageTooSmallError(ImageError):
    """Smaller than one block of the scheme that was to protect it."""

    code = "image-too-small"


class NoFaceError(ImageError):
    """No face was found."""

    code = "no-face"


class SeveralFacesError(ImageError):
    """More than one face where exactly one was needed."""

    code = "several-faces"


# -- video ---------------------------------------------------------------------------------


class VideoError(BlindsightError):
    """A video that cannot be used, or not any longer."""

    code = "video"


class UnreadableVideoError(VideoError):
    """Missing, not a video, of a kind that is not read, or a camera that cannot be opened."""

    code = "video-unreadable"


class NoVideoStreamError(VideoError):
    """A file or stream without pictures, for instance of sound alone."""

    code = "video-no-pictures"


class VideoTooLargeError(VideoError):
    """Frames of more pixels, or a part of more bytes, than the stated limit."""

    code = "video-too-large"


class DamagedVideoError(VideoError):
    """Corrupt in the middle; the frames before were good."""

    code = "video-damaged"


class TruncatedVideoError(DamagedVideoError):
    """It stops before the end that it announces."""

    code = "video-truncated"


class VideoSizeError(VideoError):
    """The frames change their width or height in the middle."""

    code = "video-size-changed"


class VideoStalledError(VideoError):
    """A live source gives no frame in time, and connecting again did not help."""

    code = "video-stalled"


class VideoEndedError(VideoError):
    """A live source closed the connection, and connecting again did not help."""

    code = "video-ended"


class KeyFileError(UsageError):
    """A key file that is missing, damaged, readable by others, or of another version."""

    code = "key-file"


class ModelError(BlindsightError):
    """A model file that is missing, unreadable or not what its description says."""

    code = "model"


# -- things that do not belong together ----------------------------------------------------


class MismatchError(BlindsightError):
    """Two values that must not meet."""

    code = "mismatch"


class KeyMismatchError(MismatchError):
    """Protected under another key."""

    code = "key-mismatch"


class ParamsMismatchError(MismatchError):
    """Protected under other parameters, or by another scheme."""

    code = "params-mismatch"


class ModelMismatchError(MismatchError):
    """Embeddings of two different models."""

    code = "model-mismatch"


# -- the vault -----------------------------------------------------------------------------


class VaultError(BlindsightError):
    """The vault cannot be read or written."""

    code = "vault"


class WrongPassphraseError(VaultError):
    """The passphrase or key file does not open this vault."""

    code = "vault-passphrase"


class CorruptVaultError(VaultError):
    """The vault opens, but a record in it does not authenticate."""

    code = "vault-corrupt"


# -- the protocol and its counterpart --------------------------------------------------------


class ProtocolError(BlindsightError):
    """The counterpart, or the way to it, failed."""

    code = "protocol"


class MalformedError(ProtocolError):
    """Bytes that are not what the specification says: truncated, oversized, out of range."""

    code = "malformed"


class TamperedError(ProtocolError):
    """Something that came back is not what was stored, or an answer cannot be right."""

    code = "tampered"


class RollbackError(TamperedError):
    """The server offers an older state than it has acknowledged before."""

    code = "rollback"


class UnauthorizedError(ProtocolError):
    """The server does not accept this token."""

    code = "unauthorized"


class NotFoundError(ProtocolError):
    """The server has no such thing."""

    code = "not-found"


class ConflictError(ProtocolError):
    """Somebody else changed the gallery in between; nothing was changed by this request."""

    code = "conflict"


class TooLargeError(ProtocolError):
    """A body over the server's limit."""

    code = "too-large"


class StorageFullError(ProtocolError):
    """The server's disk is full; nothing was changed."""

    code = "storage-full"


class UnavailableError(ProtocolError):
    """The server cannot be reached, died in the middle, or is shutting down."""

    code = "unavailable"


class RoundError(ProtocolError):
    """A message of another round, of another step, or one that was used before."""

    code = "round"


class TooFewError(ProtocolError):
    """Fewer users answered than a sum must have in it."""

    code = "too-few"


class RefusedError(ProtocolError):
    """The counterpart understood, and will not (an insecure scheme, an exhausted budget)."""

    code = "refused"


# -- two parties -----------------------------------------------------------------------------


class SessionOverError(ProtocolError):
    """The camera session has ended, or is busy; the camera must open another, or wait."""

    code = "session-over"


class StockEmptyError(ProtocolError):
    """Nothing is prepared for another face; let the parties prepare more."""

    code = "stock-empty"


class AbortError(ProtocolError):
    """A run of the two-party protocol ended without a result, and its session with it.

    ``evidence`` is what to put on record, ``notice`` the message for the other party: empty
    where it need not be told.
    """

    code = "abort"

    def __init__(self, message: str, evidence: Evidence | None = None, notice: bytes = b"") -> None:
        super().__init__(message)
        self.evidence = evidence
        self.notice = notice


class MalformedMessageError(AbortError):
    """The other party's message is not what the specification says."""

    code = "abort-malformed"


class WrongOpeningError(AbortError):
    """The other party opened values that do not carry its tags."""

    code = "abort-opening"


class WrongResultError(AbortError):
    """The other party's match bits do not agree with what it must hold."""

    code = "abort-result"


class WrongCorrelationError(AbortError):
    """The other party's half of an oblivious transfer, a tag or a seed is not what it must be."""

    code = "abort-correlation"


class OtherWatchlistError(AbortError):
    """The other party computes with another watchlist."""

    code = "abort-watchlist"


class ReplayedError(AbortError):
    """The other party's message belongs to another session or to other faces."""

    code = "abort-replay"


class CounterpartAbortError(AbortError):
    """The other party gave up."""

    code = "abort-counterpart"


class VanishedError(AbortError):
    """The other party did not answer."""

    code = "abort-vanished"


def _all(cls: type[BlindsightError]) -> dict[str, type[BlindsightError]]:
    found = {cls.code: cls}
    for sub in cls.__subclasses__():
        found |= _all(sub)
    return found


def by_code(code: str) -> type[BlindsightError]:
    """The class whose ``code`` this is; `ProtocolError` for one that is unknown here."""
    return _all(BlindsightError).get(code, ProtocolError)
