"""Exact floor division of columns whose products do not fit in 64 bits."""

import numpy as np

from executor.columns import Floats, Integers, Truth

LARGEST_QUOTIENT = 2.0**44
LARGEST_DIVISOR = 2.0**61
WORD = 1 << 64


def floor_ratio(factors: tuple[Integers, ...], num: Integers, den: Integers, num_f: Floats, den_f: Floats) -> tuple[Integers, Truth]:
    """`floor(product(factors) * num / den)` for each row, and for which rows it is sure.

    `num` may be given modulo 2^64 and `num_f`, `den_f` are the same values as floats. A float estimate of the quotient is off by one at
    most while the quotient is below 2^44; the remainder, computed modulo 2^64, is small enough (a divisor below 2^61) to be exact, and
    corrects it. Rows beyond these bounds are not sure and have to be computed otherwise.
    """
    product, product_f = num, num_f
    for factor in factors:
        product = product * factor  # wraps around: the remainder below is right modulo 2^64
        product_f = product_f * factor
    estimate = product_f / den_f
    sure = (estimate < LARGEST_QUOTIENT) & (estimate > -1) & (den_f < LARGEST_DIVISOR)
    quotient = np.where(sure, estimate, 0.0).astype(np.int64)
    remainder = product - quotient * den
    low = remainder < 0
    quotient = quotient - low
    remainder = remainder + np.where(low, den, 0)
    return quotient + (remainder >= den), sure


def wrapped(value: int) -> int:
    """A whole number modulo 2^64, as a signed 64-bit integer."""
    value %= WORD
    return value - WORD if value >= WORD // 2 else value
