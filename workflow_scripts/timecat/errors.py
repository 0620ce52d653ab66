"""The exception for mistakes that a user can correct."""


class UserError(Exception):
    """A mistake that the user can correct; its message is one sentence that says what is wrong, where, and what to do."""
