"""The one exception that means "the input is wrong, not the program"."""


class InputError(ValueError):
    """Bad input: a file, a config value, a name. The message is one line that says what is wrong,
    where, and what would be right. The command line prints it without a traceback and exits with 2.
    """


class NotEnoughResources(InputError):
    """The cluster has less than what is asked for; the message names the missing resource."""
