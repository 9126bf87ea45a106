"""What `zebjax iterate` refuses before it compiles anything; `test_small` has whole runs."""

import pytest

from zebjax.training.small_config import Settings


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"rate": 1e-4}, "--rate: expected at least --last-rate (0.003), got 0.0001"),
        ({"last_rate": 0.0}, "--last-rate: expected a positive number, got 0.0"),
        ({"decay": float("nan")}, "--decay: expected 0 or more, got nan"),
        ({"move_second": 6}, "--move-second: expected a multiple of 4 from 4 to 4096, got 6"),
        ({"hidden": 8192}, "--hidden: expected a multiple of 4 from 4 to 4096, got 8192"),
        ({"rounds": 0}, "--rounds: expected at least 1, got 0"),
        ({"games": 79}, "--games: expected at least 80, got 79"),
    ],
)
def test_a_wrong_setting_is_named_as_its_option(given, sentence):
    with pytest.raises(ValueError) as refused:
        Settings(**given)
    assert str(refused.value) == sentence
