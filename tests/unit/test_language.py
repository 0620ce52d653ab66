"""Test that the check of language finds the phrases that it lists, and only in text."""

import pytest

from tests.support import language


@pytest.mark.parametrize(
    ("source", "line", "said"),
    [
        ('"""Of the selected heads."""', 1, "docstring begins with 'Of'"),
        ('def f():\n    """The same, by name."""', 2, "docstring begins with 'The same'"),
        ("x = 1\n# It has a folder of its own.", 2, "'of its own'"),
        ("x = 1\n# the file is asked\n# for here", 2, "'is asked # for'"),
        ('raise ValueError("name is there twice")', 1, "'there twice'"),
        ('"""Return it.\n\nWhat is asked\nfor.\n"""', 3, "'is asked for'"),
    ],
)
def test_a_habit_is_found(source, line, said):
    assert [number for number, text in language.python_habits(source) if text.startswith(said)] == [line]


@pytest.mark.parametrize(
    "source", ["mended = so_many(anew)", '"""Return the predictions of the selected heads."""', "# recommend, amend"]
)
def test_plain_text_and_code_pass(source):
    assert language.python_habits(source) == []


def test_line_numbers_are_those_of_the_file():
    assert language.phrases("a\nb\nmade anew\n", 1) == [(3, "'anew': say 'again'")]
    assert [line for line, _ in language.phrases("is asked\n# for", 7)] == [7]
