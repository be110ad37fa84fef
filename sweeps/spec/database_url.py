"""A sweep's `storage`, the URL of a database: shown and written down, and therefore without a password."""

import sqlalchemy

from dalr.errors import InputError


def without_password(url: str | None) -> str:
    """A database URL as it may be shown; the file beside the sweep where there is none."""
    return "study.db" if url is None else sqlalchemy.make_url(url).set(query={}).render_as_string(hide_password=True)


def refuse_password(url: str | None) -> None:
    """Checks a URL before `sweep.yaml` keeps it, which jobs take along.

    Raises:
        InputError: not a database URL, or one with a password.
    """
    if url is None:
        return
    try:
        parsed = sqlalchemy.make_url(url)
    except (sqlalchemy.exc.ArgumentError, ValueError) as error:
        raise InputError("storage: expected a database URL, such as postgresql://user@host/database") from error
    if parsed.password is None and not {"password", "passwd"} & parsed.query.keys():
        return
    remedy = "let its driver read it from a file, as MySQL's do with ?read_default_file=/path/to/my.cnf"
    if parsed.get_backend_name() == "postgresql":
        remedy = "set PGPASSWORD or write ~/.pgpass"
    raise InputError(
        f"storage: {without_password(url)}: a password would be written down in clear; leave it out and {remedy}, "
        "where the sweep runs"
    )
