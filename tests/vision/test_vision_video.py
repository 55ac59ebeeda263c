"""Video files, folders and live sources: what comes out, and what goes wrong."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import traceback
from itertools import islice
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

import clips
import real_data
import streaming
from blindsight.core.errors import (
    DamagedVideoError,
    NoVideoStreamError,
    TruncatedVideoError,
    UnreadableVideoError,
    UsageError,
    VideoEndedError,
    VideoError,
    VideoSizeError,
    VideoStalledError,
    VideoTooLargeError,
)
from blindsight.vision import Frame, LiveSettings, Source, frames

av = pytest.importorskip("av")
QUICK = LiveSettings(stall=0.6, attempts=2, first_wait=0.05, longest_wait=0.1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of 36 frames, 1.5 s."""
    path = tmp_path_factory.mktemp("clips")
    clips.clip(path / "a.mp4")
    clips.clip(path / "fast.mp4", movflags="faststart")
    clips.clip(path / "a.mkv")
    clips.clip(path / "a.ts")
    clips.clip(path / "a.avi", codec="mpeg4")
    clips.clip(path / "motion.avi", codec="mjpeg")
    clips.clip(path / "a.h264", fmt="h264")
    clips.clip(path / "b.ts", size=(160, 120))
    with av.open(str(path / "sound.mp4"), "w") as out:
        stream = out.add_stream("aac", rate=44100)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
        sound.sample_rate = 44100
        out.mux(stream.encode(sound))
        out.mux(stream.encode())
    return path


class TestFiles:
    @pytest.mark.parametrize("name", ["a.mp4", "fast.mp4", "a.mkv", "a.ts", "a.avi", "motion.avi", "a.h264"])
    def test_every_frame_in_its_place(self, folder: Path, name: str) -> None:
        found = list(frames(str(folder / name)))
        assert [frame.index for frame in found] == list(range(36))
        rate = 25 if name == "a.h264" else 24  # a raw stream has no clock
        np.testing.assert_allclose([frame.time for frame in found], np.arange(36) / rate, atol=0.002)
        for frame in found[::7]:
            assert frame.pixels.shape == (240, 320, 3)
            assert frame.pixels.dtype == np.uint8
            assert not frame.pixels.flags.writeable
            wrong = np.abs(frame.pixels.astype(int) - clips.picture(frame.index))
            assert wrong.mean() < 8  # RGB, not BGR, and the frame that belongs here
        assert found[3].image().source == f"frame 3 of {name}"

    @pytest.mark.parametrize(("fps", "expected"), [(24, 1), (12, 2), (8, 3), (100, 1)])
    def test_every_nth_frame(self, folder: Path, fps: float, expected: int) -> None:
        assert [f.index for f in frames(str(folder / "a.mp4"), fps=fps)] == list(range(0, 36, expected))

    def test_a_rate_that_does_not_divide(self, folder: Path) -> None:
        times = [frame.time for frame in frames(str(folder / "a.mp4"), fps=10)]
        assert len(times) == 15
        assert np.abs(np.array(times) - np.arange(15) / 10).max() < 1 / 24

    def test_a_phones_rotation_is_undone(self, folder: Path, tmp_path: Path) -> None:
        """The matrix of the track header (ISO 14496-12, 8.3.2) turned by a quarter, each way."""
        data = bytearray((folder / "a.mp4").read_bytes())
        at = data.index(b"tkhd") + 4 + 40  # version 0: matrix after 40 bytes
        one, minus = (1 << 16).to_bytes(4, "big"), (-(1 << 16) % 2**32).to_bytes(4, "big")
        for first, second, turns in ((one, minus, -1), (minus, one, 1)):
            data[at : at + 20] = bytes(4) + first + bytes(4) + second + bytes(4)
            turned = tmp_path / "turned.mp4"
            turned.write_bytes(data)
            frame = next(frames(str(turned)))
            assert frame.pixels.shape == (320, 240, 3)
            upright = np.rot90(clips.picture(0), turns)  # as players show it: clockwise for (0 1 -1 0)
            assert np.abs(frame.pixels.astype(int) - upright).mean() < 8

    def test_files_are_let_go_of(self, folder: Path) -> None:
        video = frames(str(folder / "a.mp4"))
        next(video)
        assert str(folder / "a.mp4") in open_files()
        video.close()
        gc.collect()
        assert str(folder / "a.mp4") not in open_files()

    @pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
    def test_memory_is_bounded(self, tmp_path: Path) -> None:
        """120 frames of 640 x 480 are 110 MB of pixels; reading them takes a third at most."""
        path = clips.clip(tmp_path / "long.mp4", 120, size=(640, 480), b_frames=0)
        program = (
            "import resource, sys\nfrom blindsight.vision import frames\n"
            "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
            "video = frames(sys.argv[1])\nfor _ in range(20): next(video)\n"
            "before = peak()\nassert sum(1 for _ in video) == 100\nprint(peak() - before)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)],
            capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": ":".join(sys.path)},
        )  # fmt: skip
        assert int(done.stdout) < 36_000


class TestBadFiles:
    def read(self, path: Path, **options: object) -> tuple[int, VideoError | None]:
        """How many frames came, and what came then."""
        found: VideoError | None = None
        count = 0
        try:
            for frame in frames(str(path), **options):
                assert frame.pixels.shape[2] == 3
                count += 1
        except VideoError as error:
            found = error
        if found is not None:
            assert path.name in found.message
            assert str(path.parent) not in found.message
        return count, found

    @pytest.mark.parametrize("name", ["a.mp4", "fast.mp4", "a.mkv", "a.avi"])
    @pytest.mark.parametrize("part", [0.001, 0.3, 0.6, 0.9])
    def test_cut_off(self, folder: Path, tmp_path: Path, name: str, part: float) -> None:
        data = (folder / name).read_bytes()
        cut = tmp_path / name
        cut.write_bytes(data[: int(part * len(data))])
        count, error = self.read(cut)
        assert count < 36
        assert isinstance(error, UnreadableVideoError | DamagedVideoError | NoVideoStreamError)

    def test_an_end_that_is_missing_is_said_to_be_missing(self, folder: Path, tmp_path: Path) -> None:
        data = (folder / "a.mkv").read_bytes()
        cut = tmp_path / "a.mkv"
        cut.write_bytes(data[: int(0.6 * len(data))])
        count, error = self.read(cut)
        assert count > 5
        assert isinstance(error, TruncatedVideoError)
        assert "of 1.5 s" in error.message
        assert self.read(cut, strict=False) == (count, None)

    @pytest.mark.parametrize("name", ["a.mp4", "fast.mp4", "a.mkv", "a.ts", "a.h264"])
    def test_damage_in_the_middle(self, folder: Path, tmp_path: Path, name: str) -> None:
        data = bytearray((folder / name).read_bytes())
        middle = len(data) // 2
        data[middle : middle + 600] = np.random.default_rng(2).bytes(600)
        bad = tmp_path / name
        bad.write_bytes(data)
        count, error = self.read(bad)
        assert 0 < count < 36
        assert isinstance(error, DamagedVideoError)
        tolerant, error = self.read(bad, strict=False)
        assert tolerant > count
        assert error is None

    def test_any_damage_gives_the_typed_error_or_frames(self, folder: Path, tmp_path: Path) -> None:
        rng = np.random.default_rng(11)
        for round_ in range(20):
            name = ["fast.mp4", "a.mkv", "a.ts", "a.avi"][round_ % 4]
            data = bytearray((folder / name).read_bytes())
            for _ in range(int(rng.integers(1, 60))):
                data[int(rng.integers(len(data)))] = int(rng.integers(256))
            bad = tmp_path / name
            bad.write_bytes(data)
            for strict in (True, False):
                self.read(bad, strict=strict)

    def test_the_resolution_changes(self, folder: Path, tmp_path: Path) -> None:
        both = tmp_path / "both.ts"
        both.write_bytes((folder / "a.ts").read_bytes() + (folder / "b.ts").read_bytes())
        count, error = self.read(both, strict=False)
        assert count == 36
        assert isinstance(error, VideoSizeError)
        assert "320 x 240 to 160 x 120" in error.message

    @pytest.mark.parametrize(
        ("make", "kind"),
        [
            (lambda p: None, UnreadableVideoError),
            (lambda p: p.write_bytes(b""), UnreadableVideoError),
            (lambda p: p.write_bytes(b"no video at all " * 100), UnreadableVideoError),
            (lambda p: os.mkfifo(p), UnreadableVideoError),
            (lambda p: p.write_text("ffconcat version 1.0\nfile /etc/hostname\n"), UnreadableVideoError),
            (lambda p: p.write_text("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n"), UnreadableVideoError),
        ],
        ids=["missing", "empty", "text", "pipe", "list of other files", "playlist"],
    )
    def test_no_video(self, tmp_path: Path, make, kind: type[VideoError]) -> None:
        path = tmp_path / "x.mp4"
        make(path)
        assert type(self.read(path)[1]) is kind

    def test_sound_alone(self, folder: Path) -> None:
        assert type(self.read(folder / "sound.mp4")[1]) is NoVideoStreamError

    def test_too_many_pixels(self, folder: Path) -> None:
        assert type(self.read(folder / "a.mp4", max_pixels=320 * 240 - 1)[1]) is VideoTooLargeError
        assert self.read(folder / "a.mp4", max_pixels=320 * 240) == (36, None)

    def test_a_name_that_looks_like_an_address(self, folder: Path, tmp_path: Path, monkeypatch) -> None:
        (tmp_path / "concat:a.mp4").write_bytes((folder / "a.mp4").read_bytes())
        monkeypatch.chdir(tmp_path)
        assert len(list(frames("concat:a.mp4"))) == 36

    def test_a_missing_package_names_its_extra(self, folder: Path) -> None:
        program = (
            "import sys\nsys.modules['av'] = None\nfrom blindsight.vision import frames\n"
            "from blindsight.core.errors import ModelError\n"
            f"path = {str(folder / 'a.mp4')!r}\n"
            "try:\n    next(frames(path))\nexcept ModelError as error:\n    print(error)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True,
            env=os.environ | {"PYTHONPATH": ":".join(p for p in sys.path if p)},
        )  # fmt: skip
        assert 'pip install "blindsight[video]"' in done.stdout


class TestFolders:
    def test_pictures_in_the_order_of_their_numbers(self, tmp_path: Path) -> None:
        for number in (10, 9, 2):
            PIL.Image.fromarray(np.full((6, 8, 3), number, np.uint8)).save(tmp_path / f"frame{number}.png")
        (tmp_path / "notes.txt").write_text("no picture")
        found = list(frames(str(tmp_path), fps=5))
        assert [frame.pixels[0, 0, 0] for frame in found] == [2, 9, 10]
        assert [frame.time for frame in found] == [0.0, 0.2, 0.4]

    def test_bad_folders(self, tmp_path: Path) -> None:
        with pytest.raises(UnreadableVideoError, match="no pictures"):
            list(frames(str(tmp_path)))
        PIL.Image.fromarray(np.zeros((6, 8, 3), np.uint8)).save(tmp_path / "1.png")
        PIL.Image.fromarray(np.zeros((8, 6, 3), np.uint8)).save(tmp_path / "2.png")
        with pytest.raises(VideoSizeError, match=r"2\.png has 6 x 8"):
            list(frames(str(tmp_path)))
        (tmp_path / "2.png").write_bytes(b"not a picture")
        with pytest.raises(UnreadableVideoError, match=r"2\.png"):
            list(frames(str(tmp_path)))


class TestSources:
    def test_kinds(self, folder: Path) -> None:
        kinds = {
            "0": "device", str(folder): "folder", str(folder / "a.mp4"): "file", "gone.mp4": "file",
            "rtsp://host/stream": "network", "RTSPS://host:5/": "network", "https://host/a.ts": "network",
        }  # fmt: skip
        for text, kind in kinds.items():
            assert Source.parse(text).kind == kind
            assert Source.parse(text).live == (kind in {"device", "network"})
        assert Source.parse("2").address == "/dev/video2"

    @pytest.mark.parametrize(
        "text", ["", "a\x00b", "ftp://host/a", "file:///etc/passwd", "rtsp://", "http://[1"]
    )
    def test_what_is_no_source(self, text: str) -> None:
        with pytest.raises(UsageError):
            Source.parse(text)

    def test_no_password_in_what_is_printed(self) -> None:
        source = Source.parse("rtsp://admin:hunter2@camera.example/stream?token=hunter2")
        assert source.name == "the camera at camera.example"
        assert "hunter2" not in repr(source)

    @pytest.mark.parametrize("fps", [0, -1, float("nan"), float("inf")])
    def test_rates(self, fps: float) -> None:
        with pytest.raises(UsageError):
            frames("0", fps=fps)

    def test_a_device_that_is_not_there(self) -> None:
        with pytest.raises(UnreadableVideoError, match="camera 999"):
            next(frames("999", live=QUICK))

    def test_settings_are_checked(self) -> None:
        for wrong in ({"stall": 0.0}, {"attempts": 0}, {"first_wait": 5.0, "longest_wait": 1.0},
                      {"stall": float("nan")}, {"stall": float("inf")}):  # fmt: skip
            with pytest.raises(UsageError):
                LiveSettings(**wrong)


@pytest.fixture(scope="module")
def transport(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Four seconds of MPEG-TS, 96 frames."""
    return clips.clip(tmp_path_factory.mktemp("ts") / "live.ts", 96, b_frames=0).read_bytes()


def collect(source: str, settings: LiveSettings = QUICK, **options: object) -> tuple[list[Frame], VideoError]:
    """Everything until the source is lost."""
    found: list[Frame] = []
    with pytest.raises(VideoError) as caught:
        found.extend(frames(source, live=settings, **options))
    return found, caught.value


class TestLive:
    @pytest.mark.parametrize("camera", [streaming.http_camera, streaming.rtsp_camera])
    def test_a_slow_reader_gets_the_newest(self, camera, transport: bytes) -> None:
        def play(number: int, send: streaming.Send) -> None:
            for piece in streaming.paced(transport, 4.0):
                send(piece)

        with camera(play) as (address, _):
            video = frames(address, live=LiveSettings(stall=2.0, attempts=1))
            found = [next(video)]
            for _ in range(5):
                time.sleep(0.2)
                found.append(next(video))
            video.close()
        indices = [frame.index for frame in found]
        assert indices == sorted(set(indices))
        # 24 frames come in a second: about 5 in each pause, of which only the last one is seen.
        assert indices[-1] - indices[1] >= 4 * 3
        assert found[-1].time > 0.8
        assert all(frame.pixels.shape == (240, 320, 3) for frame in found)

    def test_a_quick_reader_gets_at_most_the_rate(self, transport: bytes) -> None:
        def play(number: int, send: streaming.Send) -> None:
            for piece in streaming.paced(transport, 3.0, 96):
                send(piece)

        with streaming.http_camera(play) as (address, _):
            video = frames(address, fps=10, live=LiveSettings(stall=2.0, attempts=1, first_wait=0.0))
            times = [frame.time for frame in islice(video, 6)]
            video.close()
        assert np.diff(times).min() >= 0.1 - 1e-9
        assert times[-1] >= 0.5 - 1e-9

    def test_a_camera_that_hangs_up_is_called_again(self, transport: bytes) -> None:
        def play(number: int, send: streaming.Send) -> None:
            if number < 3:
                send(transport)

        with streaming.http_camera(play) as (address, came):
            found, error = collect(address)
        assert len(came) == 5  # three that gave frames, two that did not
        assert isinstance(error, VideoEndedError | DamagedVideoError | UnreadableVideoError)
        indices = [frame.index for frame in found]
        assert indices == sorted(set(indices))
        assert 2 * 96 < indices[-1] < 3 * 96

    def test_a_camera_that_stalls(self, transport: bytes) -> None:
        hold = threading.Event()

        def play(number: int, send: streaming.Send) -> None:
            send(transport[: len(transport) // 376 * 188])
            hold.wait(20) if number else hold.wait(3)

        start = time.monotonic()
        with streaming.http_camera(lambda n, send: play(n, send) if n == 0 else hold.wait(20)) as (
            address,
            came,
        ):
            found, error = collect(address)
            hold.set()
        assert found
        assert isinstance(error, VideoStalledError)
        assert "check the camera" in error.message
        assert len(came) == 3
        assert time.monotonic() - start < 8

    def test_a_camera_that_is_not_there(self) -> None:
        with streaming.listening(lambda peer, number: None) as (port, _):
            pass
        start = time.monotonic()
        found, error = collect(f"rtsp://admin:hunter2@127.0.0.1:{port}/x")
        assert not found
        assert isinstance(error, UnreadableVideoError)
        assert "hunter2" not in "".join(traceback.format_exception(error))
        assert time.monotonic() - start < 5

    def test_the_wait_grows(self) -> None:
        settings = LiveSettings(stall=1.0, attempts=4, first_wait=0.1, longest_wait=0.2)
        with streaming.http_camera(lambda number, send: None) as (address, came):
            collect(address, settings)
        assert len(came) == 4
        gaps = np.diff(came)
        assert gaps[0] >= 0.1
        assert (gaps[1:] >= 0.2).all()

    def test_a_wrong_password_is_not_tried_again(self) -> None:
        with streaming.http_camera(lambda number, send: None, "401 Unauthorized") as (address, came):
            _, error = collect(address)
        assert isinstance(error, UnreadableVideoError)
        assert "password" in error.message
        assert len(came) == 1

    def test_a_camera_that_sends_rubbish(self) -> None:
        rubbish = np.random.default_rng(4).bytes(200_000)
        with streaming.http_camera(lambda number, send: send(rubbish)) as (address, _):
            found, error = collect(address)
        assert not found
        assert isinstance(error, VideoError)

    def test_another_resolution_after_connecting_again(self, transport: bytes, folder: Path) -> None:
        """Each connection has one size; that it is another than before is the reader's to see."""
        both = (folder / "a.ts").read_bytes() + (folder / "b.ts").read_bytes()
        with streaming.http_camera(lambda number, send: send(both)) as (address, came):
            _, error = collect(address)
        assert isinstance(error, VideoSizeError)
        assert len(came) == 1

    def test_closing_ends_the_thread_and_the_connection(self, transport: bytes) -> None:
        hung_up = threading.Event()

        def play(number: int, send: streaming.Send) -> None:
            try:
                while True:
                    for piece in streaming.paced(transport, 1.0):
                        send(piece)
            except OSError:
                hung_up.set()

        with streaming.http_camera(play) as (address, _):
            video = frames(address, live=QUICK)
            next(video)
            assert any(thread.name == "video" for thread in threading.enumerate())
            video.close()
            assert not any(thread.name == "video" for thread in threading.enumerate())
            assert hung_up.wait(3)


@pytest.mark.data
@real_data.needs("video", "one-by-one-person-detection.mp4")
class TestRealVideo:
    @pytest.mark.parametrize(
        ("name", "count", "shape"),
        [
            ("MOT20-05-raw_even_shorter.mp4", 127, (540, 826, 3)),
            ("MOT20-08-raw_shorter.h264", 127, (366, 960, 3)),
            ("classroom_preview.gif", 45, (270, 480, 3)),
            ("face-demographics-walking_preview.gif", 35, (270, 480, 3)),
            ("people-detection_preview.gif", 23, (270, 480, 3)),
        ],
    )
    def test_all_frames(self, name: str, count: int, shape: tuple[int, ...]) -> None:
        found = 0
        for frame in frames(str(real_data.DATA / "video" / name)):
            assert frame.pixels.shape == shape
            found += 1
        assert found == count

    def test_a_long_one_at_one_frame_a_second(self) -> None:
        video = frames(str(real_data.DATA / "video" / "one-by-one-person-detection.mp4"), fps=1)
        found = [(frame.time, frame.index) for frame in video]
        assert len(found) == 140
        assert [index for _, index in found] == list(range(0, 1394, 10))


def open_files() -> set[str]:
    return {str(Path(link).resolve()) for link in Path("/proc/self/fd").iterdir() if link.exists()}
