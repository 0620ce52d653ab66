"""Exception for mistakes that a user can correct."""


class UserError(Exception):
    """A mistake that the user can correct. The message is one sentence: what is wrong, where, and what to do."""
