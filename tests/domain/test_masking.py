"""How a secret is shown."""

import pytest

from domain.masking import masked


@pytest.mark.parametrize(
    ("secret", "shown"),
    [("lin_api_5d0c9e7a1b2c3d4e", "…3d4e"), ("x" * 12 + "abcd", "…abcd"), ("short-secret", "…")],
)
def test_four_characters_are_shown_of_a_secret_long_enough(secret, shown):
    assert masked(secret) == shown
