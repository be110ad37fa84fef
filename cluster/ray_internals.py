"""The one place for names of Ray that Ray does not promise to keep. `TESTED` is the release they were read in:
a test fails on any other, so that an upgrade reads them again."""

import os

TESTED = "2.60.0"


def recorded_address() -> str | None:
    """HOST:PORT of the cluster that `ray start` began last on this machine, which `auto` means; it may have
    ended since. None where none is noted."""
    from ray._private.utils import read_ray_address

    return read_ray_address()


def leave_ctrl_c_alone(trainer: object) -> None:
    """Ray Train's `fit` takes Ctrl-C for itself, aborts the workers without a checkpoint and exits with 0: of this
    trainer it does not, so that a handler that was set before stays."""
    trainer._register_sigint_handler = lambda controller: None  # type: ignore[attr-defined]


def check_token(address: str) -> None:
    """Asks the cluster at HOST:PORT, once, whether it accepts this process's token; `ray.init` asks twenty times.

    Raises:
        ray.exceptions.AuthenticationError: it does not.
        ray.exceptions.RpcError: what answers there is no cluster of this release.
    """
    from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled

    GcsClient(address=address)


def enable_tokens() -> None:
    """Switches token authentication on for this process and those it starts, also after `import ray`, which has
    read the environment. `ray.init` does the same, with a warning."""
    from ray._raylet import Config  # type: ignore[attr-defined]  # compiled

    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")
