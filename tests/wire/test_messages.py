"""Messages: they come back as they were, and nothing else is let in."""

from __future__ import annotations

import contextlib

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core import errors
from blindsight.core.errors import BlindsightError, MalformedError, ProtocolError, UnavailableError
from blindsight.core.matching import BlockInfo, Changes, GalleryInfo
from blindsight.wire import framing, messages, problem
from servers import block, same, spec

INFO = GalleryInfo(
    "0123456789abcdef" * 2,
    "people",
    "clear",
    {"width": 16, "rows": 32},
    "clear-1",
    "key",
    b"s",
    False,
    3,
    2,
    4096,
)
CHANGES = Changes(5, (BlockInfo(0, 1, 2, bytes(32)), BlockInfo(7, 3, 5, b"\xff" * 32)))
HEADER = messages.SearchHeader(4, 2, 3, 256, 1.5)
PROBES = np.arange(128, dtype=np.uint8).reshape(2, 64)

VALID = {
    "decode_spec": messages.encode_spec(spec()),
    "decode_info": messages.encode_info(INFO),
    "decode_infos": messages.encode_infos([INFO, INFO]),
    "decode_activate": messages.encode_activate(INFO.gallery_id, 3),
    "decode_commit": messages.encode_commit([block(0), block(1)]),
    "decode_revision": messages.encode_revision(9),
    "decode_changes": messages.encode_changes(CHANGES),
    "decode_fetch": messages.encode_fetch([3, 1, 3]),
    "decode_block": messages.encode_block(block(4)),
    "decode_search": messages.encode_search("key", "clear-1", PROBES),
    "decode_header": messages.encode_header(HEADER),
    "decode_pair": messages.encode_pair({"bits": 54, "error_limit": "0x1p-10"}, b"one", b"other"),
    "decode_compared": messages.encode_compared(b"answer"),
}

ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


def test_every_decoder_is_tried():
    assert set(VALID) == {name for name in dir(messages) if name.startswith("decode_")}


def test_messages_come_back_as_they_were():
    assert messages.decode_spec(VALID["decode_spec"]) == spec()
    assert messages.decode_info(VALID["decode_info"]) == INFO
    assert messages.decode_infos(VALID["decode_infos"]) == [INFO, INFO]
    assert messages.decode_activate(VALID["decode_activate"]) == (INFO.gallery_id, 3)
    assert all(
        same(a, b)
        for a, b in zip(messages.decode_commit(VALID["decode_commit"]), [block(0), block(1)], strict=True)
    )
    assert messages.decode_revision(VALID["decode_revision"]) == 9
    pair = ({"bits": 54, "error_limit": "0x1p-10"}, b"one", b"other")
    assert messages.decode_pair(VALID["decode_pair"]) == pair
    assert messages.decode_compared(VALID["decode_compared"]) == b"answer"
    assert messages.decode_changes(VALID["decode_changes"]) == CHANGES
    assert messages.decode_fetch(VALID["decode_fetch"]) == [3, 1, 3]
    assert same(messages.decode_block(VALID["decode_block"]), block(4))
    assert messages.decode_header(VALID["decode_header"]) == HEADER
    found = messages.decode_search(VALID["decode_search"])
    assert (found.key_id, found.params_id, found.probes.tolist()) == ("key", "clear-1", PROBES.tolist())


@pytest.mark.parametrize("name", VALID)
def test_cut_and_extended_messages_are_refused(name):
    data, decode = VALID[name], getattr(messages, name)
    for size in {*range(min(len(data), 60)), len(data) // 2, len(data) - 1}:
        with pytest.raises(MalformedError):
            decode(data[:size])
    with pytest.raises(MalformedError):
        decode(data + b"\xc0")


@pytest.mark.parametrize("name", VALID)
def test_missing_and_unknown_keys_are_refused(name):
    decode, fields = getattr(messages, name), msgpack.unpackb(VALID[name])
    for key in fields:
        with pytest.raises(MalformedError):
            decode(msgpack.packb({k: v for k, v in fields.items() if k != key}))
    with pytest.raises(MalformedError):
        decode(msgpack.packb(fields | {"extra": 1}))


@pytest.mark.parametrize("name", VALID)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_field_of_another_kind_is_refused_or_fits(name, data):
    fields = msgpack.unpackb(VALID[name])
    key = data.draw(st.sampled_from(sorted(fields)))
    with contextlib.suppress(MalformedError):
        getattr(messages, name)(msgpack.packb(fields | {key: data.draw(ODD)}))


@given(data=st.binary(max_size=200), name=st.sampled_from(sorted(VALID)))
@settings(max_examples=300, deadline=None)
def test_noise_is_refused(data, name):
    with pytest.raises(MalformedError):
        getattr(messages, name)(data)


@given(at=st.integers(0, 400), value=st.integers(0, 255), name=st.sampled_from(sorted(VALID)))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_is_refused_or_harmless(at, value, name):
    data = bytearray(VALID[name])
    data[at % len(data)] = value
    with contextlib.suppress(MalformedError):
        getattr(messages, name)(data)


@pytest.mark.parametrize(
    "data",
    [
        b"\xdf\xff\xff\xff\xff",  # a map of four thousand million entries
        b"\xdd\xff\xff\xff\xff",  # a list of as many
        b"\xc6\xff\xff\xff\xff",  # bytes of as many
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91" * 100_000,  # nested
        b"\x82\xa8revision\x01\xa8revision\x02",  # a key twice
        b"\x81\x01\x02",  # a key that is no text
        b"\xa1\xff",  # no UTF-8
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
    ],
)
def test_msgpack_tricks_are_refused(data):
    with pytest.raises(MalformedError):
        messages.decode_revision(data)


def test_answers_out_of_order_are_refused():
    header = messages.SearchHeader(1, 1, 2, 8, 0.0)
    for ids in ([1, 0], [1, 1], [-1, 0], [0, 1 << 40]):
        data = np.concatenate([np.array(ids, "<i8").view(np.uint8), np.zeros(16, np.uint8)])
        with pytest.raises(MalformedError):
            messages.split_answer(header, data)


# -- frames --------------------------------------------------------------------------------

PAYLOADS = [b"first", b"", bytes(100_000), b"x" * 70_000, b"last"]


def cut(data, size):
    return [data[i : i + size] for i in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, 65536, 1 << 30])
def test_frames_come_back(size):
    stream = b"".join(framing.frames(PAYLOADS))
    assert len(stream) == framing.framed_bytes(sum(map(len, PAYLOADS)), len(PAYLOADS))
    assert list(framing.payloads(cut(stream, size), 1 << 20)) == PAYLOADS


def test_a_stream_cut_anywhere_is_noticed():
    stream = b"".join(framing.frames([b"abc", b"defg"]))
    for size in range(len(stream)):
        with pytest.raises(UnavailableError):
            list(framing.payloads([stream[:size]], 100))


def test_a_damaged_stream_is_noticed():
    stream = b"".join(framing.frames([b"abc", b"defg"]))
    for at in range(len(stream)):
        damaged = bytearray(stream)
        damaged[at] ^= 0x10
        with pytest.raises(ProtocolError):
            list(framing.payloads([bytes(damaged)], 100))
    with pytest.raises(MalformedError):
        list(framing.payloads([stream, b"more"], 100))
    with pytest.raises(MalformedError, match="absurd"):
        list(framing.payloads([b"D\xff\xff\xff\xff"], 100))


def test_an_error_in_a_stream_is_raised():
    def failing():
        yield b"abc"
        raise errors.TamperedError("Block 3 is damaged.")

    stream = b"".join(framing.frames(failing()))
    with pytest.raises(errors.TamperedError, match="Block 3"):
        list(framing.payloads([stream], 100))


# -- problems ------------------------------------------------------------------------------


def every_error(cls=BlindsightError):
    yield cls
    for sub in cls.__subclasses__():
        yield from every_error(sub)


@pytest.mark.parametrize("cls", list(every_error()))
def test_errors_travel(cls):
    sent = cls("Do this and that.")
    status = problem.status_of(sent)
    assert 400 <= status < 600
    found = problem.decode(status, problem.MEDIA_TYPE, problem.encode(sent))
    assert found.message == "Do this and that."
    allowed = issubclass(cls, (ProtocolError, errors.UsageError, errors.MismatchError))
    assert type(found) is (cls if allowed else ProtocolError)


@given(st.integers(100, 599), st.sampled_from([problem.MEDIA_TYPE, "text/html"]), st.binary(max_size=50))
def test_problems_that_are_none_still_make_an_error(status, media_type, body):
    assert isinstance(problem.decode(status, media_type, body), BlindsightError)


def test_strange_problems():
    def decode(text):
        return problem.decode(500, problem.MEDIA_TYPE, text.encode())

    unknown = decode('{"type": "urn:blindsight:error:tomorrow", "detail": "Later."}')
    assert (type(unknown), unknown.message) == (ProtocolError, "Later.")
    assert decode('{"type": "urn:blindsight:error:usage", "detail": "a\\u001b[2Jb"}').message == "a [2Jb"
    assert (
        len(decode('{"type": "urn:blindsight:error:usage", "detail": "' + "x" * 9000 + '"}').message) == 1000
    )
    for text in ("[]", "1", '{"type": 1, "detail": 2}', "[" * 10_000):
        assert isinstance(decode(text), UnavailableError)
