import numpy as np
import pytest

from captum_clustered._argument_checks import check_choice, check_int


@pytest.mark.parametrize("value", [1, 7, np.int64(2)])
def test_integers(value):
    check_int("k", value, 1)


@pytest.mark.parametrize("value", [0, 1.0, True, "2", None])
def test_what_is_no_integer_or_too_small(value):
    with pytest.raises(ValueError, match=r"^k=.* must be an int of at least 1\.$"):
        check_int("k", value, 1)


def test_choices():
    check_choice("scaling", "drop", {"density": 1, "drop": 2})
    with pytest.raises(ValueError, match=r"^scaling='mass' must be 'density' or 'drop'\.$"):
        check_choice("scaling", "mass", {"density": 1, "drop": 2})
