"""Footage: two shares that say nothing alone, fit together, and are refused when changed."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
import skimage.data
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from blindsight.core.errors import (
    BlindsightError,
    MalformedError,
    MismatchError,
    ParameterError,
    TamperedError,
    UsageError,
)
from blindsight.schemes.footage import protect
from blindsight.schemes.footage.compute import Region, check, open_share
from blindsight.schemes.footage.params import MAX_SEGMENT_BYTES, Params
from blindsight.schemes.footage.pieces import labels, leaves, pad, root
from blindsight.schemes.footage.protect import share_segment, share_still
from blindsight.schemes.footage.public import (
    About,
    BodyShare,
    Opening,
    SeedShare,
    SegmentShape,
    Statement,
    StillShape,
    parse_share,
)
from blindsight.schemes.footage.reveal import Segment, Still, reveal
from reference import footage as naive

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
CAMERA = KEY.public_key()
ABOUT = About(
    "north gate", 7, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 1, 2, 3, 5, tzinfo=UTC)
)


def picture(height: int = 45, width: int = 70) -> np.ndarray:
    return np.ascontiguousarray(skimage.data.astronaut()[60 : 60 + height, 180 : 180 + width])


def still_shares(pixels: np.ndarray | None = None, **options: object) -> tuple[SeedShare, BodyShare]:
    pixels = picture() if pixels is None else pixels
    return share_still(pixels, ABOUT, KEY, params=Params(16), **options)


class TestRoundTrip:
    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(1, 40),
        st.integers(1, 40),
        st.integers(8, 20),
        st.sampled_from([0, 1]),
        st.integers(0, 2**32),
    )
    def test_stills(self, height: int, width: int, tile: int, seeded: int, rng: int) -> None:
        pixels = np.random.default_rng(rng).integers(0, 256, (height, width, 3), dtype=np.uint8)
        seed, body = share_still(pixels, ABOUT, KEY, seeded=seeded, params=Params(tile))
        assert (seed.party, body.party) == (seeded, 1 - seeded)
        shares = [parse_share(share.encode()) for share in (seed, body)]
        for share in shares:
            check(share, CAMERA)
        shown = reveal(*shares, CAMERA)
        assert isinstance(shown, Still)
        assert shown.about == ABOUT
        assert not shown.withheld.any()
        np.testing.assert_array_equal(shown.pixels, pixels)
        np.testing.assert_array_equal(reveal(shares[1], open_share(shares[0]), CAMERA).pixels, pixels)

    @settings(max_examples=30, deadline=None)
    @given(st.binary(min_size=1, max_size=5000), st.sampled_from([0, 1]))
    def test_segments(self, data: bytes, seeded: int) -> None:
        shares = share_segment(data, ABOUT, KEY, seeded=seeded, media="video/x-matroska")
        shown = reveal(*[parse_share(open_share(share).encode()) for share in shares], CAMERA)
        assert shown == Segment(ABOUT, "video/x-matroska", data)

    def test_a_long_segment(self) -> None:
        data = np.random.default_rng(3).bytes(700_001)
        assert reveal(*share_segment(data, ABOUT, KEY), CAMERA).data == data

    def test_pictures_in_any_memory_order(self) -> None:
        pixels = skimage.data.astronaut()[::-7, ::9]
        np.testing.assert_array_equal(reveal(*still_shares(pixels), CAMERA).pixels, pixels)

    def test_storage_is_once_the_footage(self) -> None:
        data = bytes(100_000)
        seed, body = share_segment(data, ABOUT, KEY)
        assert len(seed.encode()) < 300
        assert len(body.encode()) < len(data) + 300

    def test_both_parties_hold_the_same_statement(self) -> None:
        seed, body = still_shares()
        assert seed.statement.digest() == body.statement.digest()
        assert seed.statement.digest() != still_shares()[0].statement.digest()


class TestAgainstTheSpecification:
    @pytest.mark.parametrize("seeded", [0, 1])
    @pytest.mark.parametrize("kind", ["still", "segment"])
    def test_the_bytes_are_those_of_the_naive_twin(self, kind: str, seeded: int) -> None:
        drawn = iter([bytes(range(16)), bytes(range(32)), bytes(range(100, 132))])
        pixels = picture(37, 50)
        content, shape, form = {
            "still": (pixels.reshape(-1), StillShape(37, 50, 16), (37, 50, 16)),
            "segment": (pixels.reshape(-1)[:1001], SegmentShape(1001, "video/mp4"), "video/mp4"),
        }[kind]
        hide = np.subtract if kind == "still" else np.bitwise_xor
        shares = protect._share(content, shape, ABOUT, KEY, seeded, hide, lambda n: next(drawn))
        expected = naive.shares(
            content.tobytes(), form, seeded=seeded, footage_id=bytes(range(16)), seed=bytes(range(32)),
            body_key=bytes(range(100, 132)), camera="north gate", number=7,
            first=(ABOUT.first - EPOCH) // timedelta(microseconds=1),
            last=(ABOUT.last - EPOCH) // timedelta(microseconds=1), sign=KEY.sign,
        )  # fmt: skip
        assert tuple(share.encode() for share in shares) == expected


class TestOneShareSaysNothing:
    @pytest.mark.parametrize("seeded", [0, 1])
    @pytest.mark.parametrize("value", [0, 255])
    def test_bytes_of_a_flat_picture_are_uniform(self, value: int, seeded: int) -> None:
        """χ² with 255 degrees of freedom: mean 255, deviation 22.6; 400 is more than six of them."""
        pixels = np.full((256, 256, 3), value, np.uint8)
        for share in share_still(pixels, ABOUT, KEY, seeded=seeded):
            body = open_share(share).body
            counts = np.bincount(body, minlength=256)
            expected = body.size / 256
            assert ((counts - expected) ** 2 / expected).sum() < 400
            # neighbouring bytes are as unrelated as the bytes of one pixel
            for distance in (1, 3, 3 * 256):
                together = np.corrcoef(body[:-distance], body[distance:])[0, 1]
                assert abs(together) < 6 / np.sqrt(body.size)

    def test_a_share_does_not_resemble_the_picture(self) -> None:
        pixels = skimage.data.astronaut()
        for share in share_still(pixels, ABOUT, KEY):
            assert abs(np.corrcoef(open_share(share).body, pixels.reshape(-1))[0, 1]) < 0.007

    def test_nothing_random_is_used_twice(self) -> None:
        pairs = [still_shares() for _ in range(3)]
        assert len({seed.seed for seed, _ in pairs}) == 3
        assert len({body.label_key for _, body in pairs}) == 3
        assert len({body.body.tobytes() for _, body in pairs}) == 3
        assert len({seed.statement.footage_id for seed, _ in pairs}) == 3

    def test_the_party_of_the_seed_cannot_test_a_guess(self) -> None:
        """It can compute what the other share would be, but not what that is committed to."""
        seed, body = still_shares()
        statement, shape = seed.statement, seed.statement.shape
        guess = picture().reshape(-1) - pad(seed.seed, statement.footage_id).read(shape.size)
        np.testing.assert_array_equal(guess, body.body)  # the guess is right
        committed = statement.roots[body.party]
        known = [labels(key, shape.pieces) for key in (bytes(32), seed.seed, statement.footage_id * 2)]
        for label in [*known, np.zeros((shape.pieces, 32), np.uint8), open_share(seed).marks]:
            bound = leaves(shape, body.party, statement.footage_id, label, guess)
            assert root(body.party, statement.footage_id, bound) != committed
        assert hashlib.sha256(guess.tobytes()).digest() not in statement.encode()

    def test_no_secret_in_what_is_printed(self) -> None:
        seed, body = still_shares()
        for secret in (seed.seed, body.label_key, body.body.tobytes()[:8]):
            assert repr(secret)[2:-1] not in repr((seed, body, open_share(body)))


class TestWithholding:
    def test_a_region_is_withheld_in_whole_tiles(self) -> None:
        pixels = picture()
        seed, body = still_shares(pixels)
        opening = parse_share(open_share(body, [Region(20, 17, 33, 30)]).encode())
        shown = reveal(seed, opening, CAMERA)
        expected = np.zeros((45, 70), bool)
        expected[16:32, 16:48] = True
        np.testing.assert_array_equal(shown.withheld, expected)
        np.testing.assert_array_equal(shown.pixels[~expected], pixels[~expected])
        assert not shown.pixels[expected].any()

    def test_both_parties_may_withhold_and_more_than_once(self) -> None:
        pixels = picture()
        seed, body = still_shares(pixels)
        one = open_share(open_share(seed, [Region(0, 0, 1, 1)]), [Region(0, 0, 1, 1), Region(64, 40, 70, 45)])
        other = open_share(body, [Region(16, 0, 17, 1)])
        shown = reveal(one, other, CAMERA)
        expected = np.zeros((45, 70), bool)
        expected[:16, :32] = expected[32:, 64:] = True
        np.testing.assert_array_equal(shown.withheld, expected)
        np.testing.assert_array_equal(shown.pixels[~expected], pixels[~expected])

    @pytest.mark.parametrize("place", [0, 1])
    def test_what_is_withheld_is_unreadable(self, place: int) -> None:
        """The other share beside the opening gives uniform bytes, and no commitment tests a guess."""
        pixels = np.full((128, 128, 3), 200, np.uint8)
        shares = still_shares(pixels)
        opening = open_share(shares[place], [Region(0, 0, 128, 128)])
        assert opening.withheld.all()
        joined = opening.body + open_share(shares[1 - place]).body
        counts = np.bincount(joined, minlength=256)
        assert ((counts - joined.size / 256) ** 2 / (joined.size / 256)).sum() < 400
        honest = open_share(shares[place])
        assert not (opening.marks == honest.marks).all(axis=1).any()  # no label is there
        again = open_share(shares[place], [Region(0, 0, 128, 128)])
        assert (opening.body != again.body).mean() > 0.99  # a fresh mask each time
        encoded = opening.encode()
        secret = shares[place].seed if isinstance(shares[place], SeedShare) else shares[place].label_key
        assert secret not in encoded
        np.testing.assert_array_equal(opening.marks, leaves_of(honest))

    def test_other_tiles_of_a_withheld_opening_are_still_bound(self) -> None:
        seed, body = still_shares()
        opening = open_share(body, [Region(0, 0, 1, 1)])
        changed = opening.body.copy()
        changed[3 * 20] ^= 1
        with pytest.raises(TamperedError, match="Party 0"):
            reveal(seed, dataclasses.replace(opening, body=changed), CAMERA)
        unmarked = dataclasses.replace(opening, withheld=np.zeros_like(opening.withheld))
        with pytest.raises(TamperedError, match="Party 0"):
            reveal(seed, unmarked, CAMERA)

    def test_wrong_regions(self) -> None:
        seed, _ = still_shares()
        for wrong in ((0, 0, 71, 45), (0, 0, 70, 46)):
            with pytest.raises(UsageError, match="outside the still of 70 x 45"):
                open_share(seed, [Region(*wrong)])
        for wrong in ((5, 5, 5, 9), (5, 5, 9, 5), (-1, 0, 3, 3)):
            with pytest.raises(UsageError):
                Region(*wrong)
        with pytest.raises(UsageError, match="as a whole"):
            open_share(share_segment(b"video", ABOUT, KEY)[0], [Region(0, 0, 1, 1)])

    def test_a_withheld_segment_is_not_revealed(self) -> None:
        seed, body = share_segment(b"video", ABOUT, KEY)
        opening = open_share(body)
        withheld = dataclasses.replace(opening, withheld=np.ones(1, bool), marks=leaves_of(opening))
        with pytest.raises(MismatchError, match="withholds"):
            reveal(seed, withheld, CAMERA)


def leaves_of(opening: Opening) -> np.ndarray:
    statement = opening.statement
    return leaves(statement.shape, opening.party, statement.footage_id, opening.marks, opening.body)


class TestChangedShares:
    def test_a_changed_seed_body_or_label_names_the_party(self) -> None:
        seed, body = still_shares()
        changed = body.body.copy()
        changed[100] += 1
        cases = [
            (dataclasses.replace(seed, seed=bytes(32)), body, "Party 1"),
            (seed, dataclasses.replace(body, body=changed), "Party 0"),
            (seed, dataclasses.replace(body, label_key=bytes(32)), "Party 0"),
        ]
        for one, other, party in cases:
            with pytest.raises(TamperedError, match=party):
                reveal(one, other, CAMERA)
            changed_one = one if party == f"Party {one.party}" else other
            with pytest.raises(TamperedError, match=party):
                check(changed_one, CAMERA)

    def test_shares_that_do_not_belong_together(self) -> None:
        (seed, body), (seed2, body2) = still_shares(), still_shares()
        for one, other in ((seed, body2), (seed2, body)):
            with pytest.raises(MismatchError, match="different footage"):
                reveal(one, other, CAMERA)
        for one, other in ((seed, seed), (body, open_share(body))):
            with pytest.raises(MismatchError, match="one of each"):
                reveal(one, other, CAMERA)

    def test_another_cameras_signature(self) -> None:
        seed, body = still_shares()
        other = Ed25519PrivateKey.generate()
        with pytest.raises(TamperedError, match="did not sign"):
            reveal(seed, body, other.public_key())
        with pytest.raises(TamperedError, match="did not sign"):
            check(seed, other.public_key())

    def test_a_camera_that_signs_two_statements(self) -> None:
        seed, body = still_shares()
        said = dataclasses.replace(body.statement, about=dataclasses.replace(ABOUT, number=8))
        lied = dataclasses.replace(body, statement=said, signature=KEY.sign(said.signed()))
        with pytest.raises(TamperedError, match="two statements"):
            reveal(seed, lied, CAMERA)

    def test_both_parties_together_cannot_put_in_other_footage(self) -> None:
        seed, body = still_shares()
        forged_seed, forged_body = share_still(picture()[::-1], ABOUT, Ed25519PrivateKey.generate())
        forged = [
            dataclasses.replace(forged_seed, signature=seed.signature),
            dataclasses.replace(forged_body, signature=body.signature),
        ]
        with pytest.raises(TamperedError):
            reveal(*forged, CAMERA)

    @pytest.mark.parametrize("form", ["seed", "body", "opening", "segment"])
    def test_every_flipped_byte_and_every_cut_is_refused(self, form: str) -> None:
        pixels = picture(9, 11)
        seed, body = share_still(pixels, ABOUT, KEY, params=Params(8))
        share, partner = {
            "seed": lambda: (seed, body),
            "body": lambda: (body, seed),
            "opening": lambda: (open_share(body, [Region(0, 0, 1, 1)]), seed),
            "segment": lambda: share_segment(b"a short video", ABOUT, KEY)[::-1],
        }[form]()
        whole = share.encode()
        shown = reveal(parse_share(whole), partner, CAMERA)
        masked = _masked_bytes(share, len(whole))
        for at in range(len(whole)):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << at % 8
            if at in masked:  # a withheld pixel's byte says nothing, and changing it does nothing
                again = reveal(parse_share(bytes(damaged)), partner, CAMERA)
                np.testing.assert_array_equal(again.pixels, shown.pixels)
                continue
            with pytest.raises((MalformedError, TamperedError, MismatchError)):
                reveal(parse_share(bytes(damaged)), partner, CAMERA)
        for size in range(len(whole)):
            with pytest.raises(MalformedError):
                parse_share(whole[:size])
        with pytest.raises(MalformedError):
            parse_share(whole + b"\x00")

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=200), st.sampled_from([b"", b"BSFS", b"BSFS\x00\x10\x00BSFT\x01\x01\x00"]))
    def test_any_bytes_are_refused_with_the_typed_error(self, data: bytes, head: bytes) -> None:
        with pytest.raises(MalformedError):
            parse_share(head + data)

    def test_an_announced_size_is_not_allocated(self) -> None:
        huge = Statement(ABOUT, StillShape(4096, 8192), bytes(16), 0, (bytes(32), bytes(32)))
        said = huge.encode()
        share = b"BSFS\x01" + len(said).to_bytes(2, "little") + said + bytes(64) + bytes(32) + bytes(50)
        with pytest.raises(MalformedError, match="cut off"):
            parse_share(share)


def _masked_bytes(share: object, size: int) -> set[int]:
    """Places of an encoded opening's withheld pixels."""
    if not isinstance(share, Opening):
        return set()
    shape = share.statement.shape
    tiles = share.withheld.reshape(shape.grid)
    inside = (
        tiles.repeat(shape.tile, 0).repeat(shape.tile, 1)[: shape.height, : shape.width].ravel().repeat(3)
    )
    return {size - inside.size + int(at) for at in np.nonzero(inside)[0]}


class TestLimits:
    @pytest.mark.parametrize(
        "make",
        [
            lambda: StillShape(0, 5), lambda: StillShape(8193, 5), lambda: StillShape(8192, 8192),
            lambda: StillShape(5, 5, 7), lambda: Params(257), lambda: SegmentShape(0),
            lambda: SegmentShape(MAX_SEGMENT_BYTES + 1), lambda: SegmentShape(5, "video/<b>"),
            lambda: share_segment(b"", ABOUT, KEY),
        ],
    )  # fmt: skip
    def test_shapes(self, make) -> None:
        with pytest.raises(ParameterError):
            make()

    @pytest.mark.parametrize(
        "make",
        [
            lambda: share_still(np.zeros((4, 4), np.uint8), ABOUT, KEY),
            lambda: share_still(np.zeros((4, 4, 3), np.float32), ABOUT, KEY),
            lambda: share_still(np.zeros((4, 4, 3), np.uint8), ABOUT, KEY, seeded=2),
            lambda: dataclasses.replace(ABOUT, camera=""),
            lambda: dataclasses.replace(ABOUT, camera="ü" * 33),
            lambda: dataclasses.replace(ABOUT, camera="a\nb"),
            lambda: dataclasses.replace(ABOUT, camera="\ud800"),
            lambda: dataclasses.replace(ABOUT, number=-1),
            lambda: dataclasses.replace(ABOUT, last=ABOUT.first - timedelta(seconds=1)),
            lambda: dataclasses.replace(ABOUT, first=datetime(2026, 1, 1)),
        ],
    )
    def test_values(self, make) -> None:
        with pytest.raises(BlindsightError):
            make()

    @pytest.mark.parametrize("at", [datetime.min, datetime.max])
    def test_the_first_and_the_last_instant(self, at: datetime) -> None:
        about = dataclasses.replace(ABOUT, first=at.replace(tzinfo=UTC), last=at.replace(tzinfo=UTC))
        statement = Statement(about, SegmentShape(1), bytes(16), 1, (bytes(32), bytes(32)))
        assert Statement.parse(statement.encode()) == statement
