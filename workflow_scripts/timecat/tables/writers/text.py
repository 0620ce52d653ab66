"""What the writers for readers share."""

from collections.abc import Callable

from workflow_scripts.timecat.tables.table import Phrase, Symbol, Term


def escaped(text: str, special: dict[str, str]) -> str:
    """Return a text with each letter of ``special`` replaced."""
    return "".join(special.get(letter, letter) for letter in text)


def phrase_text(
    phrase: Phrase, word: Callable[[str], str], term: Callable[[str], str], symbol: Callable[[str], str]
) -> str:
    """Return a phrase whose plain words, terms and symbols look as the three functions say."""
    pieces = []
    for piece in phrase:
        if isinstance(piece, Term):
            pieces.append(term(piece.word))
        elif isinstance(piece, Symbol):
            pieces.append(symbol(piece.letter))
        else:
            pieces.append(word(piece))
    return "".join(pieces)
