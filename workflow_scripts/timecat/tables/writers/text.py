"""Format text for the Markdown and LaTeX writers."""

from collections.abc import Callable

from workflow_scripts.timecat.tables.table import Phrase, Symbol, Term


def escaped(text: str, special: dict[str, str]) -> str:
    """Return a text with each letter that is a key of ``special`` replaced by its value."""
    return "".join(special.get(letter, letter) for letter in text)


def phrase_text(
    phrase: Phrase, word: Callable[[str], str], term: Callable[[str], str], symbol: Callable[[str], str]
) -> str:
    """Return a phrase as text, with its plain words, terms and symbols formatted by the three functions."""
    pieces = []
    for piece in phrase:
        if isinstance(piece, Term):
            pieces.append(term(piece.word))
        elif isinstance(piece, Symbol):
            pieces.append(symbol(piece.letter))
        else:
            pieces.append(word(piece))
    return "".join(pieces)
