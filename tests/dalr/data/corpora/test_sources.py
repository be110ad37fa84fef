"""Each published layout gives the same rows; what is malformed is named with its file and line."""

import json
from pathlib import Path

import pytest

from dalr.data.corpora.sources import read_captions, read_sentences
from dalr.errors import InputError

PAIRS = [("b.jpg", "a dog , running"), ("a.jpg", "two men"), ("b.jpg", 'it says " hi "')]
KARPATHY = {
    "images": [
        {"filename": "b.jpg", "split": "train", "sentences": [{"raw": PAIRS[0][1]}, {"raw": PAIRS[2][1]}]},
        {"filename": "x.jpg", "split": "test", "sentences": [{"raw": "left out"}]},
        {"filename": "a.jpg", "split": "restval", "sentences": [{"raw": PAIRS[1][1]}]},
    ]
}
COCO = {
    "images": [{"id": 7, "file_name": "a.jpg"}, {"id": 9, "file_name": "b.jpg"}],
    "annotations": [{"image_id": {"a.jpg": 7, "b.jpg": 9}[image], "caption": caption} for image, caption in PAIRS],
}
KDMCSE = {
    "b": {"image": "b.jpg", "captions": [PAIRS[0][1], PAIRS[2][1]]},
    "a": {"image": "a.jpg", "captions": [PAIRS[1][1]]},
}


@pytest.mark.parametrize("layout", ["csv", "karpathy", "coco", "kdmcse", "entities"])
def test_layouts_agree(tmp_path: Path, layout: str) -> None:
    path = tmp_path / f"captions.{'csv' if layout == 'csv' else 'json'}"
    if layout == "csv":
        quoted = (caption.replace('"', '""') for _, caption in PAIRS)
        lines = (f'{image},"{text}"' for (image, _), text in zip(PAIRS, quoted, strict=True))
        path.write_text("image,caption\n" + "\n".join(lines))
    elif layout == "entities":
        path = tmp_path
        (path / "Sentences").mkdir()
        (path / "train.txt").write_text("b.jpg\na.jpg\n")
        first = "[/EN#1/animals a dog] , running"
        (path / "Sentences" / "b.jpg.txt").write_text(f"{first}\n{PAIRS[2][1]}\n")
        (path / "Sentences" / "a.jpg.txt").write_text("[/EN#2/people two men]\n")
        (path / "Sentences" / "c.jpg.txt").write_text("of another split\n")
    else:
        path.write_text(json.dumps({"karpathy": KARPATHY, "coco": COCO, "kdmcse": KDMCSE}[layout]))
    captions = read_captions(path)
    assert captions.image_ids == ("b.jpg", "a.jpg")
    rows = {(captions.image_ids[i], text) for i, text in zip(captions.image_of_caption, captions.captions, strict=True)}
    assert rows == set(PAIRS)
    assert captions.named


def test_a_text_file_has_a_caption_for_each_image(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text("one\n\nthree\n")
    captions = read_captions(tmp_path / "captions.txt")
    assert captions.image_ids == ("0", "2")  # image i is line i, whichever lines are empty
    assert captions.captions == ("one", "three")
    assert captions.dropped == 1
    assert not captions.named


def test_sentences_are_stripped_and_empty_lines_counted(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes("\ufeff one \r\n\n  \nzwölf\u2028still\n".encode())
    sentences = read_sentences(tmp_path / "text.txt")
    assert sentences.texts == ("one", "zwölf\u2028still")
    assert sentences.dropped == 2


def test_the_hash_sees_every_change(tmp_path: Path) -> None:
    hashes = set()
    for number, text in enumerate(
        ("image,caption\na,x y\nb,z", "image,caption\na,x\nb,y z", "image,caption\nb,x y\na,z")
    ):
        (tmp_path / f"{number}.csv").write_text(text)
        hashes.add(read_captions(tmp_path / f"{number}.csv").data_hash)
    assert len(hashes) == 3


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", b"picture,caption\na,b\n", "line 1: expected a header with the columns image,caption"),
        ("a.csv", b"image,caption\na,b\nc,d, e\n", "line 3: expected 2 columns"),
        ("a.csv", b'image,caption\na,"b\n', "not valid CSV"),
        ("a.csv", b"image,caption\na,b\nc,\xff\n", "line 3: not UTF-8"),
        ("a.csv", b"image,caption\n", "has no captions"),
        ("a.csv", b"", "is empty"),
        ("a.json", b'{"images": [\n1,]}', "line 2: not valid JSON"),
        ("a.json", b"[1]", "expected Karpathy's split"),
        ("a.json", b'{"images": [{"split": "train", "filename": "a"}]}', "images[0] has no 'sentences'"),
        ("a.json", b'{"images": [], "annotations": [{"image_id": 3, "caption": "x"}]}', "names image 3"),
        ("a.json", b'{"k": {"captions": [1]}}', "k: a caption is not text"),
    ],
)
def test_bad_captions_are_one_line(tmp_path: Path, name: str, content: bytes, expected: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_captions(tmp_path / name)
    assert expected in str(error.value)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_text_and_folders(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_bytes(b"one\ntwo\n\xe9t\xe9\n")
    with pytest.raises(InputError, match="line 3: not UTF-8"):
        read_sentences(tmp_path / "text.txt")
    (tmp_path / "text.txt").write_text("\n \n")
    with pytest.raises(InputError, match="has no sentences"):
        read_sentences(tmp_path / "text.txt")
    with pytest.raises(InputError, match="no such file"):
        read_sentences(tmp_path / "none.txt")
    with pytest.raises(InputError, match="no folder Sentences"):
        read_captions(tmp_path)
    (tmp_path / "Sentences").mkdir()
    (tmp_path / "Sentences" / "1.txt").write_text("fine\n[/EN#1/people two men\n")
    with pytest.raises(InputError, match=r"1\.txt, line 2: a phrase"):
        read_captions(tmp_path)


def test_the_published_corpora(real_data: Path) -> None:
    flickr8k = read_captions(real_data / "flickr8k" / "captions.csv")
    assert (len(flickr8k), len(flickr8k.image_ids)) == (40455, 8091)
    assert len(read_captions(real_data / "flickr30k" / "captions.txt")) == 29783
    assert len(read_sentences(real_data / "wikitext" / "sentences.txt")) == 15283
