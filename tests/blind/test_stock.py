"""Stocks of preparations: whole batches, each face used once, void after a run that did not end well."""

import os
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest

from blindsight.blind import stock as stock_module
from blindsight.blind import stock_talk
from blindsight.blind.stock import Kind, Stock, open_batch, read_batches
from blindsight.blind.stock_filling import StockMetrics
from blindsight.blind.stock_talk import agree, make_batch, use
from blindsight.core.errors import (
    AbortError,
    MalformedMessageError,
    MismatchError,
    ReplayedError,
    SessionOverError,
    StockEmptyError,
    StorageFullError,
    TamperedError,
    UsageError,
)
from blindsight.schemes.dealerless.params import Sizes
from blindsight.schemes.dealerless.probe import probe
from blindsight.schemes.spdz2k.talk import run_both
from stock_process import FACES, KIND, LISTED


def pair(folder):
    return [Stock(folder / f"stock{party}", party, KIND) for party in (0, 1)]


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Two stocks with batches of 3 and 1 faces."""
    folder = tmp_path_factory.mktemp("filled")
    for faces in (3, 1):
        run_both(*(make_batch(stock, faces) for stock in pair(folder)))
    return folder


@pytest.fixture
def stocks(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "copy")
    return pair(tmp_path / "copy")


def asking(faces):
    """The run of a probe by party 0."""

    def run(party, prepared):
        return (yield from probe(party, 0, faces if party.number == 0 else None, LISTED, prepared))

    return run


def ask(stocks, faces, alter=None):
    return run_both(*(use(stock, len(faces), asking(faces)) for stock in stocks), alter)


def using(stocks):
    stack = ExitStack()
    for stock in stocks:
        stack.enter_context(stock.using())
    return stack


def test_all_that_was_made_is_used_once(stocks):
    found, used = [], []
    with using(stocks):
        assert [stock.level() for stock in stocks] == [4, 4]
        for face in range(4):
            before = {b.name: b.taken for b in stocks[0].batches()}
            one, other = ask(stocks, FACES[face : face + 1])
            np.testing.assert_array_equal(one, other)
            found.append(one[0])
            after = {b.name: b.taken for b in stocks[0].batches()}
            used.append({n: t for n, t in after.items() if before.get(n) != t})
            assert [stock.level() for stock in stocks] == [3 - face] * 2
        with pytest.raises(StockEmptyError):
            ask(stocks, FACES[:1])
    np.testing.assert_array_equal(found, LISTED.matches(FACES[:4]))
    for stock in stocks:
        assert not list(stock.folder.glob("*.batch"))


def test_several_faces_at_a_time_come_from_one_batch(stocks):
    with using(stocks):
        one, _ = ask(stocks, FACES[:2])
        np.testing.assert_array_equal(one, LISTED.matches(FACES[:2]))
        with pytest.raises(StockEmptyError):
            ask(stocks, FACES[:2])
        assert [stock.level() for stock in stocks] == [2, 2]


def test_files_are_for_their_owner_alone(stocks):
    assert stocks[0].folder.stat().st_mode & 0o777 == 0o700
    for path in stocks[0].folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_read_is_overwritten(stocks):
    with using(stocks):
        batch = max(stocks[0].batches(), key=lambda b: b.faces)
        size, start = KIND.record_bytes, 128 + 32 * batch.faces
        before = batch.path.read_bytes()
        batch.take(1, 1)
        after = batch.path.read_bytes()
    assert after[start + size : start + 2 * size] == bytes(size)
    assert after[start : start + size] == before[start : start + size] != bytes(size)


def test_the_disk_says_that_a_face_is_used_before_it_is_read(stocks, monkeypatch):
    with using(stocks):
        batch = stocks[0].batches()[0]
        order = []
        sync, read = os.fsync, os.preadv
        monkeypatch.setattr(os, "fsync", lambda file: (order.append("sync"), sync(file)))
        monkeypatch.setattr(os, "preadv", lambda *a: (order.append("read"), read(*a))[1])
        batch.take(0, 1)
        assert order == ["sync", "read"]
        assert open_batch(batch.path).taken == 1


def test_nothing_is_taken_twice(stocks):
    with using(stocks):
        batch = max(stocks[0].batches(), key=lambda b: b.faces)
        batch.take(0, 1)
        for first, count in ((1, 1), (0, 1)):
            with pytest.raises(UsageError):
                batch.take(first, count)
        batch.finish()
        for first, count in ((0, 1), (0, 3), (2, 2), (1, 0), (-1, 1)):
            with pytest.raises(UsageError):
                batch.take(first, count)
        batch.take(1, 2)
        batch.finish()
        assert not batch.path.exists()


# -- runs that do not end well ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [3, 5, 8, 11])
def test_an_altered_message_makes_the_batch_void_and_no_other(stocks, number):
    def alter(r, party, message):
        if (r, party) == (number, 1) and message:
            return bytes([message[0] ^ 1]) + message[1:]
        return message

    with using(stocks):
        with pytest.raises(AbortError):
            ask(stocks, FACES[:1], alter)
        levels = [stock.level() for stock in stocks]
        assert levels[0] == levels[1]
        assert levels[0] in (1, 3)
        one, _ = ask(stocks, FACES[1:2])
        np.testing.assert_array_equal(one, LISTED.matches(FACES[1:2]))


def test_a_run_that_is_left_in_the_middle_makes_the_batch_void(stocks):
    with using(stocks):
        talks = [use(stock, 1, asking(FACES[:1])) for stock in stocks]
        messages = [next(talk) for talk in talks]
        for _ in range(5):
            messages = [talks[0].send(messages[1]), talks[1].send(messages[0])]
        for talk in talks:
            talk.close()
        assert [stock.level() for stock in stocks] in ([1, 1], [3, 3])


def test_a_run_that_its_caller_fails_makes_the_batch_void(stocks):
    def run(party, prepared):
        yield b""
        raise KeyboardInterrupt

    with using(stocks):
        with pytest.raises(KeyboardInterrupt):
            run_both(*(use(stock, 1, run) for stock in stocks))
        assert sum(b.faces for b in stocks[0].batches()) in (1, 3)


def test_a_run_that_opened_without_checking_has_no_batch_to_go_on_with(stocks):
    def run(party, prepared):
        yield from party.open(prepared.cover[0])

    with using(stocks):
        run_both(*(use(stock, 1, run) for stock in stocks))
        assert [stock.level() for stock in stocks] in ([1, 1], [3, 3])


def test_nothing_can_be_made_with_a_stored_key(stocks):
    def run(party, prepared):
        with pytest.raises(SessionOverError):
            next(party.oblivious.authenticate(np.zeros((1, 2), np.uint64)))
        with pytest.raises(SessionOverError):
            party.oblivious.random_ots(np.zeros(1, np.bool_))
        return (yield from party.oblivious.coin(16))

    with using(stocks):
        first, second = run_both(*(use(stock, 1, run) for stock in stocks))
        assert first == second
        other, _ = run_both(*(use(stock, 1, run) for stock in stocks))
        assert other != first


def test_an_open_run_in_the_journal_is_void_at_the_next_start(stocks):
    with using(stocks):
        batch = stocks[0].batches()[0]
        batch.take(0, 1)
    with using(stocks):
        assert batch.name not in [b.name for b in stocks[0].batches()]
        with pytest.raises(StockEmptyError):
            ask(stocks, np.repeat(FACES[:1], batch.faces, axis=0)) if batch.faces == 3 else ask(
                [stocks[0], stocks[0]], FACES[:4]
            )


# -- what one side says that the other has not ---------------------------------------------------------


def test_the_larger_of_both_positions_counts(stocks):
    """A party that was put back to a state of before gets no face twice."""
    old = stocks[1].folder.parent / "old"
    shutil.copytree(stocks[1].folder, old)
    with using(stocks):
        ask(stocks, FACES[:2])
    shutil.rmtree(stocks[1].folder)
    shutil.copytree(old, stocks[1].folder)
    with using(stocks):
        assert [stock.level() for stock in stocks] == [2, 4]
        for face in (2, 3):
            one, _ = ask(stocks, FACES[face : face + 1])
            np.testing.assert_array_equal(one, LISTED.matches(FACES[face : face + 1]))
        with pytest.raises(StockEmptyError):
            ask(stocks, FACES[:1])


def test_a_batch_of_one_side_only_is_skipped_and_dropped(stocks):
    lost = stocks[1].batches()[0]
    lost.path.unlink()
    with using(stocks):
        left = 4 - lost.faces
        for face in range(left):
            ask(stocks, FACES[face : face + 1])
        with pytest.raises(StockEmptyError):
            ask(stocks, FACES[:1])
        assert stocks[0].level() == lost.faces
    orders = run_both(*(agree(stock, 5, 10) for stock in stocks))
    assert [(order.faces, order.level) for order in orders] == [(10, 0)] * 2
    assert stocks[0].level() == 0


def test_both_sides_agree_on_what_is_missing(stocks):
    with using(stocks):
        ask(stocks, FACES[:1])
    one, other = run_both(agree(stocks[0], 5, 100), agree(stocks[1], 5, 7))
    assert (one, one.level, one.faces) == (other, 3, 7)


@pytest.mark.parametrize(
    "other",
    [
        Kind(Sizes(KIND.sizes.value_bits + 1), KIND.entries, KIND.dimension),
        Kind(KIND.sizes, KIND.entries + 1, KIND.dimension),
        Kind(KIND.sizes, KIND.entries, KIND.dimension + 1),
        Kind(Sizes(KIND.sizes.value_bits, 44), KIND.entries, KIND.dimension),
    ],
)
def test_parties_that_prepare_for_something_else_make_nothing(stocks, tmp_path, other):
    with pytest.raises(MismatchError):
        run_both(agree(stocks[0], 5, 10), agree(Stock(tmp_path / "other", 1, other), 5, 10))
    with pytest.raises(MismatchError):
        run_both(agree(stocks[0], 5, 10), agree(stocks[1], 6, 10))


@pytest.mark.parametrize("change", [lambda m: m[:-1], lambda m: b"x" + m[1:], lambda m: m[24:] + m[:24]])
@pytest.mark.parametrize("number", [0, 1])
def test_malformed_hellos_and_tables(stocks, number, change):
    def alter(r, party, message):
        return change(message) if (r, party) == (number, 1) else message

    try:
        run_both(*(agree(stock, 5, 10) for stock in stocks), alter)
    except (MalformedMessageError, MismatchError):
        assert stocks[0].level() == 4
    else:
        # another name in a table is a batch that the other side lacks
        assert number == 1
        assert stocks[0].level() < 4


@pytest.mark.parametrize(("number", "place"), [(0, 0), (0, 24), (1, 0), (2, 3), (2, 16)])
def test_parties_that_do_not_mean_the_same_faces(stocks, number, place):
    """Of the choice of a batch: its name, the count, whether it is there, and what both settle on."""

    def alter(r, party, message):
        if (r, party) != (number, 1 if number == 1 else 0):
            return message
        return message[:place] + bytes([message[place] ^ 7]) + message[place + 1 :]

    with using(stocks):
        with suppress(MalformedMessageError, ReplayedError, StockEmptyError):
            ask(stocks, FACES[:1], alter)
        for stock in stocks:
            assert stock.level() <= 4
        rest = min(stock.level() for stock in stocks)
        assert rest >= 1


def test_a_party_with_another_count_of_faces(stocks):
    with using(stocks), pytest.raises(MalformedMessageError, match="number of faces"):
        run_both(use(stocks[0], 1, asking(FACES[:1])), use(stocks[1], 2, asking(FACES[:2])))


# -- damage ---------------------------------------------------------------------------------------------


def places(batch):
    start = 128 + 32 * batch.faces
    return [0, 5, 8, 30, 40, 100, start, start + KIND.record_bytes - 1, start + KIND.record_bytes + 3]


def test_damaged_files_are_told(stocks):
    batch = max(stocks[0].batches(), key=lambda b: b.faces)
    whole = batch.path.read_bytes()
    for place in places(batch):
        data = bytearray(whole)
        data[place] ^= 1
        batch.path.write_bytes(data)
        with pytest.raises(TamperedError):
            open_batch(batch.path).take(0, 2)
    for data in (whole[:-1], whole + b"\0", whole[:100], b""):
        batch.path.write_bytes(data)
        with pytest.raises(TamperedError):
            stocks[0].batches()


def test_journals_that_cannot_be(stocks):
    """With a slot that was being written nothing is left; one before others, or out of order, is damage."""
    with using(stocks):
        batch = max(stocks[0].batches(), key=lambda b: b.faces)
        for first in (0, 1):
            batch.take(first, 1)
            batch.finish()
    whole = batch.path.read_bytes()
    assert open_batch(batch.path).taken == 2
    slots = [whole[128 + 16 * i : 144 + 16 * i] for i in range(4)]

    def written(*parts):
        journal = b"".join(parts).ljust(32 * batch.faces, b"\0")
        batch.path.write_bytes(whole[:128] + journal + whole[128 + len(journal) :])

    for torn in (slots[2][:7], b"\xff" * 16, slots[2][:4] + bytes(4) + slots[2][8:]):
        written(*slots[:2], torn)
        assert open_batch(batch.path).left == 0
    for wrong in (
        (slots[0], slots[0], slots[2]),
        (slots[0], slots[1], b"\xff" * 16, slots[3]),
        (slots[0], bytes(16), slots[2]),
        (slots[1], slots[0]),
        (slots[2], slots[1]),
    ):
        written(*wrong)
        with pytest.raises(TamperedError):
            open_batch(batch.path)
    written(*slots[:3])
    assert open_batch(batch.path).taken == 2
    with using(stocks):
        assert not batch.path.exists()


@pytest.mark.parametrize("step", ["rename", "_blank", "unlink"])
def test_dying_while_a_batch_is_removed(stocks, monkeypatch, step):
    """Whatever is left of it, the rest of the stock is as good as before."""

    def stop(*_):
        raise KeyboardInterrupt

    with using(stocks):
        batch = stocks[0].batches()[0]
        batch.take(0, 1)
        monkeypatch.setattr(stock_module if step == "_blank" else Path, step, stop)
        with pytest.raises(KeyboardInterrupt):
            batch.void()
        monkeypatch.undo()
    with using(stocks):
        assert stocks[0].level() == 4 - batch.faces
        assert not batch.path.exists()
        assert not list(stocks[0].folder.glob("*.void"))


def test_a_stock_of_another_party_or_kind_is_refused(stocks):
    folder = stocks[0].folder
    with pytest.raises(UsageError, match="another party"):
        Stock(folder, 1, KIND).batches()
    with pytest.raises(UsageError, match="another party"):
        Stock(folder, 0, Kind(KIND.sizes, 4, KIND.dimension)).batches()


def test_one_process_makes_and_one_uses(stocks):
    again = Stock(stocks[0].folder, 0, KIND)
    with stocks[0].making(), again.using():
        with pytest.raises(UsageError, match="Another process"), again.making():
            pass
        with pytest.raises(UsageError, match="Another process"), stocks[0].using():
            pass
    with again.making():
        pass


def test_a_full_disk_leaves_nothing_half_made(tmp_path, monkeypatch):
    stocks = pair(tmp_path)
    write = os.pwrite

    def full(file, data, at):
        if at > 100:
            raise OSError(28, "No space left on device")
        return write(file, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageFullError, match="No space left"):
        run_both(*(make_batch(stock, 1) for stock in stocks))
    monkeypatch.undo()
    assert [path.name for stock in stocks for path in stock.folder.iterdir()] == []


def test_a_batch_that_the_other_side_does_not_confirm_is_dropped(tmp_path, monkeypatch):
    stocks = pair(tmp_path)
    names = []

    def swap(message, size):
        answer = yield message
        if size == stock_talk.NAME_BYTES and not names:
            names.append(message)
            raise KeyboardInterrupt
        return answer

    monkeypatch.setattr(stock_talk, "swap", swap)
    with pytest.raises(KeyboardInterrupt):
        run_both(*(make_batch(stock, 1) for stock in stocks))
    assert names
    assert not [path for stock in stocks for path in stock.folder.iterdir()]


def test_the_level_is_a_metric(stocks):
    metrics = StockMetrics(stocks[0])
    assert metrics.registry.get_sample_value("blindsight_party_stock_faces") == 4
    with using(stocks):
        ask(stocks, FACES[:1])
        assert metrics.registry.get_sample_value("blindsight_party_stock_faces") == 3
    assert [b.left for b in read_batches(stocks[0].folder)] in ([3], [2, 1], [1, 2])


def test_a_stock_with_longer_keys(tmp_path):
    kind = Kind(Sizes(KIND.sizes.value_bits, 64), KIND.entries, KIND.dimension)
    stocks = [Stock(tmp_path / f"stock{party}", party, kind) for party in (0, 1)]
    run_both(*(make_batch(stock, 1) for stock in stocks))
    (batch,) = read_batches(stocks[0].folder)
    assert (batch.kind.sizes.security_bits, stocks[1].level()) == (64, 1)
    with using(stocks):
        one, other = ask(stocks, FACES[:1])
    np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(one, LISTED.matches(FACES[:1]))
