"""Which file is which caption's picture. A run's identity asks, too, so that nothing here imports torch."""

from collections.abc import Sequence
from pathlib import Path

from dalr.config.schema import DataConfig
from dalr.data.corpora.sources import Captions
from dalr.data.names import match_names
from dalr.errors import InputError
from dalr.reading import read_plain_lines


def image_names(data: DataConfig, captions: Captions) -> tuple[str, ...]:
    """The images' names: the captions', or where these have none the lines of `data.image_ids`."""
    if captions.named:
        return captions.image_ids
    if data.image_ids is None:
        raise InputError(
            f"data.image_ids is not set: {data.captions} names no images; line i of data.image_ids names that of line i"
        )
    names = [line.strip() for line in read_plain_lines(data.image_ids, "data.image_ids", "id")]
    lines = [int(line) for line in captions.image_ids]
    if lines[-1] >= len(names):
        raise InputError(f"data.image_ids: {data.image_ids} has {len(names)} lines for caption line {lines[-1] + 1}")
    unnamed = next((line for line in lines if not names[line]), None)
    if unnamed is not None:
        raise InputError(f"data.image_ids: {data.image_ids}, line {unnamed + 1} is empty, and has a caption")
    return tuple(names[line] for line in lines)


def image_files(folder: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The file of each picture: `folder/NAME`, else the one below the folder that `match_names` takes for
    it (COCO's pictures lie in a folder for each split; Flickr30k Entities names no extension).

    Raises:
        InputError: no such folder; pictures without a file, the first of them and how many; a name that
            could mean several files.
    """
    if not folder.is_dir():
        raise InputError(f"data.images: no such folder: {folder}")
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    lacks = f"data.images: {folder} lacks %d of the %d pictures that data.captions names"
    return tuple(folder / files[row] for row in match_names(names, files, lacks=lacks))
