"""Runs that find the stock empty: they refuse, or wait until the parties have prepared more."""

import shutil
import threading
import time

import numpy as np
import pytest

from blindsight.blind.stock import Stock
from blindsight.blind.stock_asking import probes
from blindsight.blind.stock_filling import fill
from blindsight.blind.stock_talk import make_batch
from blindsight.core.errors import (
    CounterpartAbortError,
    MismatchError,
    OtherWatchlistError,
    StockEmptyError,
    VanishedError,
)
from blindsight.schemes.spdz2k.talk import run_both
from blindsight.wire.fields import unpack
from channels import pair
from stock_process import FACES, KIND, LISTED
from two_parties import SMALL, watchlist


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("filled")
    run_both(*(make_batch(Stock(folder / f"stock{n}", n, KIND), 2) for n in (0, 1)))
    return folder


@pytest.fixture
def stocks(filled, tmp_path):
    shutil.copytree(filled, tmp_path / "copy")
    return [Stock(tmp_path / "copy" / f"stock{n}", n, KIND) for n in (0, 1)]


def together(work):
    """Run ``work(party)`` in two threads; what each ended with."""
    ends = [None, None]

    def run(party):
        try:
            ends[party] = work(party)
        except Exception as error:
            ends[party] = error

    threads = [threading.Thread(target=run, args=(party,)) for party in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return ends


@pytest.fixture
def channels(tmp_path):
    with pair(tmp_path / "tls") as both:
        yield both


def asking(stocks, channels, faces, patience=(0.0, 0.0), asker=0):
    def work(party):
        vectors = faces if party == asker else None
        with channels[party]:
            return list(probes(stocks[party], channels[party], LISTED, vectors, patience[party]))

    return together(work)


@pytest.mark.parametrize("asker", [0, 1])
def test_either_party_asks(stocks, channels, asker):
    ends = asking(stocks, channels, FACES[:2], asker=asker)
    for found in ends:
        np.testing.assert_array_equal(found, LISTED.matches(FACES[:2]))


def test_an_empty_stock_refuses(stocks, channels):
    ends = asking(stocks, channels, FACES[:3])
    assert all(isinstance(end, StockEmptyError) for end in ends), ends
    assert [stock.level() for stock in stocks] == [0, 0]


def test_an_empty_stock_is_waited_for(stocks, channels, tmp_path):
    """While one pair of processes uses the stocks, another fills them."""

    def refill():
        time.sleep(0.7)
        with pair(tmp_path / "more") as links:
            more = [Stock(stock.folder, stock.party, KIND) for stock in stocks]
            made = together(lambda party: fill(more[party], links[party], 2, 1))
            assert [one.made for one in made] == [2, 2]

    thread = threading.Thread(target=refill)
    thread.start()
    ends = asking(stocks, channels, FACES[:4], patience=(30.0, 30.0))
    thread.join(60)
    for found in ends:
        np.testing.assert_array_equal(found, LISTED.matches(FACES[:4]))


def test_the_less_patient_one_ends_it(stocks, channels):
    began = time.monotonic()
    ends = asking(stocks, channels, FACES[:3], patience=(0.0, 20.0))
    assert isinstance(ends[0], StockEmptyError)
    assert isinstance(ends[1], VanishedError), ends
    assert time.monotonic() - began < 15


def test_another_list_is_an_abort_with_evidence_on_both_sides(stocks, channels):
    other = watchlist(SMALL, len(LISTED), np.random.default_rng(99))

    def work(party):
        vectors = FACES[:1] if party == 0 else None
        with channels[party]:
            return list(probes(stocks[party], channels[party], (LISTED, other)[party], vectors))

    ends = together(work)
    assert all(isinstance(end, OtherWatchlistError | CounterpartAbortError) for end in ends), ends
    for end, stock in zip(ends, stocks, strict=True):
        assert stock.level() == 0
        (kept,) = (stock.folder / "evidence").iterdir()
        assert kept.name == end.evidence.digest().hex()
        assert kept.stat().st_mode & 0o777 == 0o600
        assert unpack(kept.read_bytes())["reason"] == end.code


def test_one_asks_and_one_answers(stocks, channels):
    ends = together(
        lambda party: list(probes(stocks[party], channels[party], LISTED, FACES[:1] if party < 2 else None))
    )
    assert all(isinstance(end, MismatchError) for end in ends), ends
    assert [stock.level() for stock in stocks] == [2, 2]
