from __future__ import annotations

from blindsight.core.primes import is_prime


def test_agrees_with_trial_division() -> None:
    def prime(n: int) -> bool:
        return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))

    assert [n for n in range(-3, 3000) if is_prime(n)] == [n for n in range(-3, 3000) if prime(n)]


def test_numbers_that_only_look_prime() -> None:
    carmichael = (561, 1105, 1729, 2465, 2821, 6601)
    strong = (3215031751, 3474749660383, 341550071728321, 3825123056546413051, 2**61 + 1)
    fools_all_bases_to_37 = 318665857834031151167461
    assert not any(is_prime(n) for n in (*carmichael, *strong, fools_all_bases_to_37))
    assert all(is_prime(n) for n in (2**31 - 1, 2**61 - 1, 999999000001, 65537))
