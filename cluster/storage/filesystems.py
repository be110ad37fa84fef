"""The file system that a URI names, opened so that no call waits without end; its errors in one line."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import pyarrow
from pyarrow import fs

from dalr.errors import Failed, InputError

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 30.0
ATTEMPTS = 4
"""How often a request to S3 is made before it has failed, with growing pauses."""
GCS_SECONDS = 60
"""How long Google's client tries again; its own limit is a quarter of an hour."""

_S3_OPTIONS = ("region", "scheme", "endpoint_override", "allow_bucket_creation", "tls_ca_file_path")
_KNOWN = "s3://bucket/path, gs://bucket/path, file:///path, abfs://container@account/path, hdfs://host/path"


class StorageFailed(Failed):
    """A file system elsewhere did not do its work. The message names the place and the reason."""


@dataclass(frozen=True)
class Location:
    """A folder on a file system, as a URI that means the same on every machine."""

    uri: str

    @property
    def display_name(self) -> str:
        """The URI without options and without keys, for messages and results."""
        parts = urlsplit(self.uri)
        user, _, host = parts.netloc.rpartition("@")
        # An Azure container stands where other schemes have a key.
        netloc = host if ":" in user or parts.scheme == "s3" else parts.netloc
        return f"{parts.scheme}://{netloc}{parts.path.rstrip('/')}"

    @property
    def identity(self) -> str:
        """What tells this place from others: the URI without options, with the service that it is at."""
        return f"{self.display_name}@{_options(self.uri).get('endpoint_override', '')}"

    def open(self) -> tuple[fs.FileSystem, str]:
        """The file system, and the folder's path on it. Asks no server, but where S3 must say in which
        region a bucket is.

        Raises:
            InputError: no file system is known under this URI.
            StorageFailed: it cannot be set up here.
        """
        scheme = urlsplit(self.uri).scheme
        try:
            if scheme == "s3":
                return _s3(self)
            uri = self.uri
            if scheme in ("gs", "gcs") and "retry_limit_seconds" not in uri:
                uri += f"{'&' if '?' in uri else '?'}retry_limit_seconds={GCS_SECONDS}"
            filesystem, path = fs.FileSystem.from_uri(uri)
            return filesystem, path.rstrip("/")
        except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError, ValueError) as error:
            raise InputError(f"{self.display_name}: {_first_line(error)}; expected {_KNOWN}") from error
        except OSError as error:
            raise StorageFailed(f"{self.display_name}: {reason(error)}") from error


def location(uri: str) -> Location:
    """The location under a URI as it was typed: what this shell's AWS_ENDPOINT_URL and AWS_REGION say is
    written into it, because the machines of a cluster have other environments. Its path is percent-encoded.

    Raises:
        InputError: keys in the URI, an option that is not known, or no bucket.
    """
    parts, name = urlsplit(uri), Location(uri).display_name
    _refuse_keys(uri)
    if "#" in uri:
        raise InputError(f"{name}: a URI ends at #; write %23 for it, %3F for a question mark, %25 for a percent sign")
    if odd := [word for word in parts.query.split("&") if word and not word.partition("=")[2]]:
        raise InputError(f"{name}: {odd[0]!r} is no option NAME=VALUE; write %3F for a question mark in a path")
    options = _options(uri)
    if parts.scheme == "s3":
        options = _s3_options(name, options)
        if not parts.netloc:
            raise InputError(f"{uri}: no bucket; expected s3://bucket/path")
    query = f"?{urlencode(options)}" if options else ""
    return Location(f"{parts.scheme}://{parts.netloc}{quote(unquote(parts.path.rstrip('/')))}{query}")


_KEY_VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "gcs": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
    "abfss": "AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET",
}
_KEY_OPTION = re.compile(r"key|secret|token|password", re.IGNORECASE)


def _refuse_keys(uri: str) -> None:
    """A URI is written down: in Ray's notes, in provenance, in a job's command line, on dashboards."""
    parts = urlsplit(uri)
    user = parts.netloc.rpartition("@")[0]
    if ":" in user or (user and parts.scheme == "s3") or any(map(_KEY_OPTION.search, _options(uri))):
        variables = _KEY_VARIABLES.get(parts.scheme, "what the service reads")
        raise InputError(
            f"{Location(uri).display_name}: keys in a URI would be written down in clear; leave them out and set "
            f"{variables} in the environment of every node"
        )


def _s3_options(name: str, options: dict[str, str]) -> dict[str, str]:
    """The options, with the endpoint and the region of this shell."""
    unknown = sorted(set(options) - set(_S3_OPTIONS))
    if unknown:
        raise InputError(f"{name}: unknown option {unknown[0]!r}; known: {', '.join(_S3_OPTIONS)}")
    endpoint = options.get("endpoint_override") or _environment("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    if endpoint:
        scheme, divided, host = endpoint.rpartition("://")
        options["endpoint_override"] = host.rstrip("/")
        if divided:
            options["scheme"] = scheme
    region = options.get("region") or _environment("AWS_REGION", "AWS_DEFAULT_REGION")
    if region or endpoint:  # servers other than AWS have no regions to speak of
        options["region"] = region or "us-east-1"
    return options


def _environment(*names: str) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)


def _options(uri: str) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(uri).query))


def _s3(place: Location) -> tuple[fs.FileSystem, str]:
    """As `FileSystem.from_uri`, which has no way to set timeouts."""
    parts, options = urlsplit(place.uri), _options(place.uri)
    filesystem = fs.S3FileSystem(
        region=options.get("region") or fs.resolve_s3_region(parts.netloc),
        scheme=options.get("scheme", "https"),
        endpoint_override=options.get("endpoint_override"),
        allow_bucket_creation=options.get("allow_bucket_creation", "").lower() in ("1", "true"),
        tls_ca_file_path=options.get("tls_ca_file_path"),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=ATTEMPTS),
    )
    return filesystem, f"{parts.netloc}{unquote(parts.path)}"


@contextmanager
def translate_errors(place: str) -> Iterator[None]:
    """Inside the block, what a file system raises becomes a StorageFailed that names the place."""
    try:
        yield
    except OSError as error:
        raise StorageFailed(f"{place}: {reason(error)}") from error
    except pyarrow.ArrowException as error:
        raise StorageFailed(f"{place}: {_first_line(error)}") from error


_HINTS = (
    (r"NO_SUCH_BUCKET|Bucket '.*' not found|bucket does not exist", "there is no such bucket; create it first"),
    (
        r"OAuth2 access token|Could not load the default credentials",
        "no credentials for Google Cloud; set GOOGLE_APPLICATION_CREDENTIALS, on every node",
    ),
    (
        r"ACCESS_DENIED|INVALID_ACCESS_KEY|INVALID_CLIENT_TOKEN|INVALID_SIGNATURE|SIGNATURE_DOES_NOT_MATCH|"
        r"UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION|EXPIRED_TOKEN|HTTP status 40[13]|PERMISSION_DENIED|"
        r"UNAUTHENTICATED",
        "credentials are missing or not allowed to do this; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a "
        "role, or what the service has in their place, on every node",
    ),
    (
        r"NETWORK_CONNECTION|REQUEST_TIMEOUT|CURL error|UNAVAILABLE",
        "cannot be reached; check the network, and AWS_ENDPOINT_URL or ?endpoint_override=HOST:PORT&scheme=http",
    ),
)


def reason(error: Exception) -> str:
    """What a file system's error means and what would be right, then the system's own words, in one line."""
    text = _first_line(error)
    of_aws = re.search(r"(AWS Error .*)", text)
    own = re.sub(r" ?\(Request ID: [^)]*\)", "", of_aws.group(1) if of_aws else text)
    own = own.split("; Details:")[0].split(" error_info=")[0].rstrip(". :")
    for pattern, hint in _HINTS:
        if re.search(pattern, text):
            return f"{hint} ({own[:200]})"
    return own[:300]


def _first_line(error: Exception) -> str:
    return " ".join((str(error).splitlines() or [type(error).__name__])[0].split())
