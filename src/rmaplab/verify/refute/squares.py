"""Sums of n squares of bounded positive integers: what the witnesses against sums of squared IDs are made of.

For `spreads`. Lagrange's and Fermat's theorems say which sums exist; here they are built: most terms as large as
allowed, the rest one to five squares found with a square root of -1 modulo a prime (Cornacchia).
"""

from math import isqrt

from flint import fmpz

_TRIES = 3_000
_OUTER_TRIES = 40
_SMALL = 4096
_PARTS = 2


def as_squares(total: int, n: int, largest: int) -> tuple[int, ...] | None:
    """`n` integers in 1 .. `largest` whose squares sum to `total`; None if none were found (not: if none exist).

    As few different ones as this construction gives.
    """
    if not n <= total <= n * largest**2:
        return None
    for free in range(min(n, 5) + 1):
        rest = total - (n - free) * largest**2
        few = _few_squares(rest, free, largest)
        if few is not None:
            return (largest,) * (n - free) + few
    return None


def _few_squares(total: int, n: int, largest: int) -> tuple[int, ...] | None:
    """`total` as `n` <= 5 squares of 1 .. `largest`."""
    if not n <= total <= n * largest**2:
        return None
    if n == 0:
        return ()
    if n == 1:
        root = isqrt(total)
        return (root,) if root * root == total else None
    if n == 2:
        return _two_squares(total, largest)
    top = min(isqrt(total), largest)
    for first in range(top, max(0, top - (_TRIES if n == 3 else _OUTER_TRIES)), -1):
        rest = _few_squares(total - first**2, n - 1, largest)
        if rest is not None:
            return (first, *rest)
    return None


def _two_squares(total: int, largest: int) -> tuple[int, int] | None:
    """Two squares of 1 .. `largest`, where `total` is twice a square, or 1, 2 or 4 times a prime 1 modulo 4."""
    if total < _SMALL:
        for a in range(1, min(isqrt(total), largest) + 1):
            b = isqrt(total - a * a)
            if 0 < b <= largest and a * a + b * b == total:
                return a, b
        return None
    half = isqrt(total // 2)
    if 2 * half * half == total:
        return (half, half) if half <= largest else None
    scale, odd = 1, total
    while odd % 4 == 0:
        odd //= 4
        scale *= 2
    twice = odd % 2 == 0
    prime = odd // 2 if twice else odd
    if prime % 4 != 1 or not fmpz(prime).is_prime():
        return None
    a, b = _fermat(prime)
    if twice:
        a, b = a + b, abs(a - b)
    return (scale * a, scale * b) if a and b and scale * max(a, b) <= largest else None


def _fermat(prime: int) -> tuple[int, int]:
    """a^2 + b^2 = prime, for a prime 1 modulo 4."""
    base = next(g for g in range(2, prime) if pow(g, (prime - 1) // 2, prime) == prime - 1)
    a, b = prime, pow(base, (prime - 1) // 4, prime)
    while b * b > prime:
        a, b = b, a % b
    return b, a % b


def with_sum(total: int, squares: int, n: int, largest: int, depth: int = 24) -> tuple[int, ...] | None:
    """At most `n` integers in 1 .. `largest` with this sum and this sum of squares; None if none were found.

    At most `depth` of them exceed 1. Takes the largest first (it is at least squares / sum), such that the rest
    still satisfies sum <= squares <= sum^2, what whole numbers can have.
    """
    if total == squares:
        return (1,) * total if 0 <= total <= n else None
    if min(n, depth) <= 0 or not 0 < total < squares <= min(total**2, largest * total):
        return None
    if (squares - total) % 2 or total**2 > n * squares:
        return None
    least = -(-squares // total)
    if 2 * squares >= total**2:
        least = max(least, (total + isqrt(2 * squares - total**2)) // 2)
    for part in range(max(2, least), min(largest, isqrt(squares), least + _PARTS) + 1):
        rest = with_sum(total - part, squares - part**2, n - 1, largest, depth - 1)
        if rest is not None:
            return (part, *rest)
    return None
