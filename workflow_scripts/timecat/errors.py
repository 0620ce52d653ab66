"""Exception for mistakes that a user can correct."""


class UserError(Exception):
    """Mistake that the user can correct. The one-line message tells what is wrong, where, and what to do."""
