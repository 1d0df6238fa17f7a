"""The one exception that commands turn into a single line for the user."""


class UserError(Exception):
    """Input that the user can mend: a missing file, a broken video, an unknown option.

    The message is one line that names the file or option and the remedy; the command line prints it without a
    traceback and exits with status 2.
    """
