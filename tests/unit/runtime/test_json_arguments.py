"""Test that the error message of a wrong JSON option names the option and the key."""

import argparse
from typing import Annotated, Literal

import pytest
from pydantic import Field

from workflow_scripts.timecat.runtime.json_arguments import json_of
from workflow_scripts.timecat.settings import settings


@settings
class Made:
    """Settings with two keys, as an example of a stage's settings."""

    seed: int
    rates: tuple[float, ...]


@settings
class One:
    """First type of the union EITHER, which the key ``kind`` selects."""

    kind: Literal["one"]


@settings
class Two:
    """Second type of the union EITHER, with nested settings."""

    kind: Literal["two", "deux"]
    of: One


EITHER = Annotated[One | Two, Field(discriminator="kind")]
GOOD = '{"seed": 3, "rates": [1, 0.5]}'


def test_json_becomes_typed_settings():
    made = json_of(Made)(GOOD)
    assert made == Made(seed=3, rates=(1.0, 0.5)) and isinstance(made.rates[0], float)
    assert json_of(Made | None)("null") is None and json_of(Made | None)(GOOD) == made
    assert json_of(list[list[int]])("[[2], [550, 23]]") == [[2], [550, 23]]


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        (Made, '{"seed": 3, "rates": [], "rate": 1}', "argument --made: `rate` is not a key"),
        (Made, '{"seed": 3}', "argument --made: `rates` is missing"),
        (Made, '{"seed": "3", "rates": []}', "argument --made: `seed` is '3': input should be a valid integer"),
        (Made, '{"seed": 3, "rates": [1, true]}', "argument --made: `rates.1` is True: input should be a valid number"),
        (Made, "{", "argument --made: not JSON: "),
        (list[list[int]], "[[1], 2]", "argument --made: `1` is 2: input should be a valid array"),
        (list[str], "3", "argument --made: 3: input should be a valid array"),
        (
            dict[str, int | list[int]],
            '{"a": ["b"]}',
            "`a` is ['b']: input should be a valid integer; `a.0` is 'b': input",
        ),
        (
            dict[str, int | float],
            '{"a": "b"}',
            "--made: `a` is 'b': input should be a valid integer, or input should be",
        ),
        (tuple[int, int], "[1]", "argument --made: `1` is missing"),
        (EITHER, "{}", "argument --made: `kind` is missing"),
        (EITHER, '{"kind": "three"}', "argument --made: `kind` is 'three': it must be one of 'one', 'two', 'deux'"),
        (EITHER, '{"kind": "deux", "of": {}}', "argument --made: `of.kind` is missing"),
        (list[EITHER], '[{"kind": "3"}]', "argument --made: `0.kind` is '3': it must be one of 'one', 'two'"),
    ],
)
def test_a_message_names_the_option_the_key_and_the_mistake(kind, text, message, capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--made", type=json_of(kind))
    with pytest.raises(SystemExit):
        parser.parse_args(["--made", text])
    assert message in capsys.readouterr().err
