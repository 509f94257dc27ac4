"""Random streams hang on what they are named by, and on nothing else."""

import numpy as np

from pisces.core.seeding import RowBits, bits, generator

NAME = (1, "noise", "QPSK", -4, 17)


def draws(*name: str | int) -> list[int]:
    return generator(*name).bit_generator.random_raw(8).tolist()


def test_same_name_same_stream():
    assert draws(*NAME) == draws(*NAME)


def test_any_difference_is_another_stream():
    names = [
        NAME,
        (2, "noise", "QPSK", -4, 17),
        (1, "symbols", "QPSK", -4, 17),
        (1, "noise", "8PSK", -4, 17),
        (1, "noise", "QPSK", 4, 17),
        (1, "noise", "QPSK", -4, 18),
        (1, "noise", "QPSK", 17, -4),
        (1, "noise", "QPSK", "-4", 17),
        (1, "noise", "QPSK", -4),
        (1, "noise", "QPSK", -41, 7),
    ]
    everything = [value for name in names for value in draws(*name)]
    assert len(set(everything)) == len(everything)


def test_order_of_use_does_not_matter():
    first, second = generator(1, "a"), generator(1, "b")
    interleaved = [rng.random() for _ in range(3) for rng in (first, second)]
    again = generator(1, "b")
    assert [again.random() for _ in range(3)] == interleaved[1::2]


def test_numpys_own_generator_is_left_alone():
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    generator(*NAME).random(100)
    assert np.array_equal(np.random.random(3), expected)  # noqa: NPY002


def test_the_scheme_stays_as_it_is():
    """A change here changes every data set, split and mask that was ever made from a seed."""
    assert draws(*NAME)[:3] == [883303765020564873, 6436468873993542074, 11482367426554545471]


def test_streams_of_neighbouring_frames_are_uncorrelated():
    """Independent streams are not correlated.

    Over n normal values that has a standard deviation of 1/sqrt(n); the bound is five of those.
    """
    n = 4096
    streams = np.array(
        [generator(1, "noise", "QPSK", -4, row).standard_normal(n) for row in range(20)]
    )
    correlation = np.corrcoef(streams)[np.triu_indices(20, 1)]
    assert np.abs(correlation).max() < 5 / np.sqrt(n)


def test_bits_hang_on_every_part_of_the_name_and_are_even():
    """Of 4 000 names, each of 64 bits is 1 as often as not: 5 sigma are 158."""
    found = np.array([bits(1, "symmetry", 3, "QPSK", -4, row) for row in range(4000)], np.uint64)
    assert len(set(found.tolist())) == 4000
    assert bits(1, "symmetry", 3, "QPSK", -4, 7) == found[7]
    assert bits(2, "symmetry", 3, "QPSK", -4, 7) != found[7]

    ones = np.unpackbits(found.view(np.uint8)).reshape(4000, 64).sum(0, dtype=int)
    assert (abs(ones - 2000) < 158).all()


def test_bits_of_rows_are_those_of_the_whole_name():
    """With NumPy's integers in the name, and of any names that Python may spell otherwise."""
    for identity in ((), ("QPSK",), ("Bob's", np.int64(-4)), ('"', "\\", 0)):
        of_rows = RowBits(np.int64(3), "symmetry", *identity)
        for row in (0, 7, 123_456_789, 7):
            assert of_rows(row) == bits(3, "symmetry", *identity, row)
