"""The exceptions whose message is the whole story: one line, no traceback."""


class InputError(ValueError):
    """Bad input: a file, a config value, a name. The message is one line that says what is wrong,
    where, and what would be right. The command line prints it without a traceback and exits with 2.
    """


class NotEnoughResources(InputError):
    """The cluster has less than what is asked for; the message names the missing resource."""


class Failed(Exception):
    """The input is right, and yet it did not work: a disk, a machine, a loss. The message is one line that
    says what happened, where, and how to go on. The command line prints it and exits with 1.
    """
