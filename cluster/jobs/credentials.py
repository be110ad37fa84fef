"""Tells files that carry credentials, by name and by content, so that no job takes them along."""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePath

FOLDERS = frozenset({".aws", ".ssh", ".gnupg", ".kube", ".docker", ".azure", ".gcloud", ".config"})
"""Folders that are credentials as a whole."""

FILES = (
    ".env*", "*.env", ".netrc", "_netrc", ".pgpass", ".pypirc", ".npmrc", ".git-credentials", ".htpasswd",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ppk",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "credentials", "credentials.*", "credentials*.json",
    "*credentials.json", "*credentials.csv", "service-account*.json", "service_account*.json", "client_secret*",
    "*kubeconfig*", "secret", "secrets", "secret.*", "secrets.*", "*auth_token*",
)  # fmt: skip
"""Patterns of file names, matched without regard to case."""

TOKEN_WORD = re.compile(r"(?:^|[^a-z])tokens?(?:[^a-z]|$)")
"""`hf_token`, `token.txt`, `my-tokens.json`; not `tokenizer.json`."""
TOKENIZER_FILES = frozenset({"added_tokens.json", "special_tokens_map.json"})
SOURCE_SUFFIXES = frozenset({".py", ".pyi", ".md", ".rst"})
"""Code and prose are judged by their content alone: `tokens.py` is a module."""

OF_PACKAGES = ("credentials.*", "*auth_token*")
"""Patterns that also match a module of dalr, or the cluster's own token, which must travel."""


def rsync_excludes(never_needed: Iterable[str]) -> list[str]:
    """What `ray up` leaves out of the folders that it copies: what a job package leaves out, as far as names can
    tell. rsync knows no exceptions for source files, but takes whole folders of packages only."""
    names = [pattern for pattern in FILES if pattern not in OF_PACKAGES]
    return [*sorted(never_needed), *sorted(FOLDERS), *names, "hf_token*", "token.txt", "tokens.txt", "token.json"]


SCANNED = 2**20
"""Only the first bytes of a file are searched: credentials are short, what is longer is data."""

CONTENT = {
    "a private key": re.compile(rb"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    "an AWS access key": re.compile(rb"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a Hugging Face token": re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b"),
    "a GitHub token": re.compile(rb"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{40,})\b"),
}
"""Credentials that their form gives away."""

DATABASE_PASSWORD = re.compile(
    rb"\b(?:postgres|mysql|mariadb|mssql|oracle|mongodb|redis)[a-z0-9+]*://"
    rb"(?:[^\s:/?#@\"']*:(?![$<*{])[^\s/?#@\"']+@|[^\s\"']*[?&]passw(?:or)?d=(?![$<*{])[^\s&\"']+)"
)
"""The password in a database's URL, as the `storage` of a sweep's specification may have had it. A variable or a gap
in its place (`${PASSWORD}`, `<password>`, `***`) is none."""


def in_name(path: PurePath) -> str | None:
    """The pattern for which a file of this name is never sent; None for an ordinary name."""
    if path.suffix in SOURCE_SUFFIXES:
        return None
    name = path.name.lower()
    if TOKEN_WORD.search(name) and name not in TOKENIZER_FILES:
        return "*token*"
    return next((pattern for pattern in FILES if fnmatchcase(name, pattern)), None)


def in_content(content: bytes, path: PurePath) -> str | None:
    """What kind of credential the file at `path` contains; None where none is recognised. In code and prose the URL
    of a database is an example more often than not."""
    patterns = CONTENT
    if path.suffix not in SOURCE_SUFFIXES:
        patterns = {**CONTENT, "a password in a database's URL": DATABASE_PASSWORD}
    return next((kind for kind, pattern in patterns.items() if pattern.search(content[:SCANNED])), None)
