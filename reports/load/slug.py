"""Names as file names."""

import hashlib

LONGEST = 100  # bytes; what stands before and after it in a file's name has room within the usual 255


def slug(name: str) -> str:
    """The name in letters, digits and hyphens, in small letters, fit for a file name of any system. A name that
    is too long is cut, one without letters is replaced; then digits of its checksum tell it from others."""
    text = "".join(character if character.isalnum() else "-" for character in name).strip("-").lower()
    whole = text.encode("utf-8", errors="replace")
    if text and len(whole) <= LONGEST:
        return text
    start = whole[: LONGEST - 9].decode("utf-8", errors="ignore").rstrip("-")
    return f"{start or 'name'}-{hashlib.sha256(name.encode('utf-8', errors='replace')).hexdigest()[:8]}"
