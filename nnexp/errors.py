"""The one kind of error that is the user's to mend."""


class UserError(ValueError):
    """A mistake in what the user asked for; its message is one line naming the key, the value and what is allowed."""
