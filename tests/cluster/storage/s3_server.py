"""An S3-compatible server on the loopback interface, and what lies in its bucket."""

import logging
import urllib.request
from pathlib import Path

import pytest
from pyarrow import fs

from dalr.cluster.storage import filesystems, mirror

BUCKET = "bucket"
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_EC2_METADATA_DISABLED": "true"}


class S3Server:
    """moto's server in a thread. It keeps what it holds when it is stopped and started again."""

    def __init__(self) -> None:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request
        self._start(port=0)
        self.port = self._server.get_host_and_port()[1]
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.files = fs.S3FileSystem(
            access_key="testing",
            secret_key="testing",
            region="us-east-1",
            scheme="http",
            endpoint_override=f"127.0.0.1:{self.port}",
            allow_bucket_creation=True,
        )
        self.files.create_dir(BUCKET)

    def stop(self) -> None:
        self._server.stop()

    def start_again(self) -> None:
        self._start(self.port)

    def _start(self, port: int) -> None:
        from moto.server import ThreadedMotoServer  # flask and botocore come with it

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
        self._server.start()

    def ask_for_keys(self, ask: bool) -> None:
        """Whether requests need keys from now on; there are none that it accepts."""
        request = urllib.request.Request(
            f"{self.endpoint}/moto-api/reset-auth",
            data=b"0" if ask else b"inf",
            headers={"Content-Type": "text/plain"},
        )
        with urllib.request.urlopen(request, timeout=10):
            return

    def names(self, folder: str) -> list[str]:
        """The names of the files below a folder of the bucket."""
        path = f"{BUCKET}/{folder}"
        found = self.files.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        return sorted(info.path.removeprefix(f"{path}/") for info in found if info.type == fs.FileType.File)

    def read(self, name: str) -> bytes:
        with self.files.open_input_stream(f"{BUCKET}/{name}") as stream:
            return stream.read()

    def write(self, name: str, data: bytes) -> None:
        with self.files.open_output_stream(f"{BUCKET}/{name}") as stream:
            stream.write(data)

    def checkpoints(self, run: str) -> dict[int, list[str]]:
        """The files of each checkpoint of a run, by its step."""
        found: dict[int, list[str]] = {}
        for name in self.names(f"{run}/checkpoints"):
            step, _, file = name.removeprefix("step-").partition("/")
            if step.isdigit():
                found.setdefault(int(step), []).append(file)
        return found

    def copy(self, run: str, folder: Path) -> Path:
        """Downloads a run's files into a local folder."""
        for name in self.names(run):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.read(f"{run}/{name}"))
        return folder


def use(server: S3Server, cache: Path, patch: pytest.MonkeyPatch) -> None:
    """Lets this process, and those that it starts, store on the server, with mirrors in `cache` and no patience."""
    for name, value in {**KEYS, "AWS_ENDPOINT_URL": server.endpoint, "DALR_CACHE": str(cache)}.items():
        patch.setenv(name, value)
    patch.setattr(filesystems, "ATTEMPTS", 1)
    patch.setattr(mirror, "LAST_PAUSE", 0.01)
