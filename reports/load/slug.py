"""Names as file names."""


def slug(name: str) -> str:
    """The name in letters, digits and hyphens, fit for a file name."""
    return "".join(character if character.isalnum() else "-" for character in name).strip("-").lower()
