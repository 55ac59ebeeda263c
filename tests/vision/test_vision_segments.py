"""Footage: encoded video cut at key frames, shared, revealed and played."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

import clips
import real_data
import streaming
from blindsight.core.errors import (
    DamagedVideoError,
    NoVideoStreamError,
    UnreadableVideoError,
    UsageError,
    VideoError,
    VideoTooLargeError,
)
from blindsight.schemes.footage.params import MAX_SEGMENT_BYTES
from blindsight.schemes.footage.protect import share_segment
from blindsight.schemes.footage.public import About, parse_share
from blindsight.schemes.footage.reveal import reveal
from blindsight.vision import LiveSettings, Segmenter, VideoSegment, frames, segments
from blindsight.vision.segments import MAX_BYTES

av = pytest.importorskip("av")


def played(segment: VideoSegment | bytes) -> list[np.ndarray]:
    """All frames of a piece, decoded alone."""
    data = segment.data if isinstance(segment, VideoSegment) else segment
    with av.open(io.BytesIO(data)) as source:
        return [frame.to_ndarray(format="rgb24") for frame in source.decode(video=0)]


class TestSegments:
    @pytest.mark.parametrize(
        ("name", "codec", "b_frames", "media"),
        [
            ("a.mp4", "libx264", 0, "video/mp4"),
            ("a.mp4", "libx264", 2, "video/mp4"),
            ("a.mkv", "libx264", 2, "video/mp4"),
            ("a.ts", "libx264", 2, "video/mp4"),
            ("a.avi", "mjpeg", 0, "video/x-matroska"),
        ],
    )
    def test_together_they_are_the_video(
        self, tmp_path: Path, name: str, codec: str, b_frames: int, media: str
    ) -> None:
        """Frame by frame and bit by bit: nothing was encoded again and none is missing."""
        path = clips.clip(tmp_path / name, 48, codec=codec, b_frames=b_frames, gop=12)
        whole = [frame.pixels for frame in frames(str(path))]
        found = list(segments(path, seconds=1.0))
        assert len(found) == 2
        together = [pixels for segment in found for pixels in played(segment)]
        assert len(together) == len(whole) == 48
        for one, other in zip(together, whole, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose([(s.first, s.last) for s in found], [(0, 1), (1, 2)], atol=0.01)
        assert {segment.media for segment in found} == {media}
        assert sum(len(segment.data) for segment in found) < 1.3 * path.stat().st_size + 4096

    def test_cuts_come_at_key_frames_only(self, tmp_path: Path) -> None:
        path = clips.clip(tmp_path / "a.mp4", 60, gop=20)
        lengths = [len(played(segment)) for segment in segments(path, seconds=0.1)]
        assert lengths == [20, 20, 20]
        assert [len(played(segment)) for segment in segments(path, seconds=100)] == [60]
        assert [len(played(segment)) for segment in segments(path, seconds=1.0)] == [40, 20]

    def test_shared_and_revealed_pieces_play(self, tmp_path: Path) -> None:
        path = clips.clip(tmp_path / "a.mp4", 24, gop=12)
        key = Ed25519PrivateKey.generate()
        begin = datetime(2026, 1, 1, tzinfo=UTC)
        together = []
        for number, segment in enumerate(segments(path, seconds=0.5)):
            first, last = (begin + timedelta(seconds=s) for s in (segment.first, segment.last))
            about = About("gate", number, first, last)
            seed, body = share_segment(segment.data, about, key, seeded=number % 2, media=segment.media)
            with pytest.raises(av.error.InvalidDataError):
                played(body.body.tobytes())
            shown = reveal(parse_share(body.encode()), parse_share(seed.encode()), key.public_key())
            together += played(shown.data)
        assert len(together) == 24
        for index, pixels in enumerate(together):
            assert np.abs(pixels.astype(int) - clips.picture(index)).mean() < 8

    def test_a_piece_fits_a_share(self) -> None:
        assert MAX_BYTES + (1 << 20) <= MAX_SEGMENT_BYTES


class TestBadVideo:
    def test_no_key_frame_for_too_long(self, tmp_path: Path) -> None:
        path = clips.clip(tmp_path / "a.mp4", 30, gop=30)
        with pytest.raises(VideoTooLargeError, match="key frame"):
            list(segments(path, seconds=0.1, max_bytes=2000))

    def test_a_stream_without_a_clock(self, tmp_path: Path) -> None:
        path = clips.clip(tmp_path / "a.h264", 10, fmt="h264")
        with pytest.raises(UnreadableVideoError, match="time stamps"):
            list(segments(path))

    def test_what_is_not_video(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableVideoError):
            list(segments(tmp_path / "gone.mp4"))
        (tmp_path / "text.mp4").write_text("no video " * 100)
        with pytest.raises(UnreadableVideoError):
            list(segments(tmp_path / "text.mp4"))
        with av.open(str(tmp_path / "sound.mp4"), "w") as out:
            stream = out.add_stream("aac", rate=44100)
            sound = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
            sound.sample_rate = 44100
            out.mux(stream.encode(sound))
            out.mux(stream.encode())
        with pytest.raises(NoVideoStreamError):
            list(segments(tmp_path / "sound.mp4"))

    def test_damage_gives_pieces_or_the_typed_error(self, tmp_path: Path) -> None:
        whole = clips.clip(tmp_path / "a.ts", 24).read_bytes()
        rng = np.random.default_rng(9)
        for round_ in range(12):
            data = bytearray(whole)
            for at in rng.integers(len(data), size=30):
                data[at] = rng.integers(256)
            bad = tmp_path / "bad.ts"
            bad.write_bytes(data if round_ % 2 else data[: len(data) // 2])
            try:
                found = list(segments(bad, seconds=0.3))
            except VideoError:
                continue
            assert all(segment.data for segment in found)

    def test_settings_are_checked(self) -> None:
        for wrong in ({"seconds": 0.0}, {"seconds": 601.0}, {"max_bytes": 0}, {"max_bytes": 1 << 30}):
            with pytest.raises(UsageError):
                Segmenter(**wrong)

    def test_packets_before_the_first_key_frame_are_left_out(self, tmp_path: Path) -> None:
        path = clips.clip(tmp_path / "a.mp4", 24, gop=12, b_frames=0)
        segmenter = Segmenter(0.1)
        with av.open(str(path)) as source:
            packets = [packet for packet in source.demux(video=0) if packet.size][5:]
            found = [segmenter.push(packet) for packet in packets]
            last = segmenter.finish()
        assert found == [None] * 19
        assert last is not None
        assert len(played(last)) == 12
        assert segmenter.finish() is None
        assert not isinstance(last, DamagedVideoError)


class TestLiveTap:
    def test_a_camera_is_watched_and_recorded_in_one(self, tmp_path: Path) -> None:
        """Two connections of 24 frames; all of them are recorded, whatever was looked at."""
        data = clips.clip(tmp_path / "a.ts", 24, b_frames=0, gop=12).read_bytes()
        segmenter, found = Segmenter(0.4), []

        def tap(packet) -> None:
            done = segmenter.push(packet)
            if done is not None:
                found.append(done)

        def play(number: int, send: streaming.Send) -> None:
            if number < 2:
                send(data)

        live = LiveSettings(stall=1.0, attempts=1, first_wait=0.01)
        seen: list[int] = []
        with streaming.http_camera(play) as (address, _), pytest.raises(VideoError):
            seen.extend(frame.index for frame in frames(address, live=live, tap=tap))
        found.append(segmenter.finish())
        assert seen
        lengths = [len(played(segment)) for segment in found]
        assert lengths == [12, 12, 12, 12]
        starts = [segment.first for segment in found]
        np.testing.assert_allclose(starts, [0, 0.5, 1.0, 1.5], atol=0.02)


@pytest.mark.data
@real_data.needs("video", "one-by-one-person-detection.mp4")
def test_a_real_recording() -> None:
    path = real_data.DATA / "video" / "MOT20-05-raw_even_shorter.mp4"
    found = list(segments(path, seconds=2.0))
    assert sum(len(played(segment)) for segment in found) == 127
    assert sum(len(segment.data) for segment in found) < 1.1 * path.stat().st_size
