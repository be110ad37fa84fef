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


def _karpathy(*sentences: str) -> bytes:
    images = (f'{{"filename": "a", "split": "train", "sentences": {value}}}' for value in sentences)
    return f'{{"images": [{", ".join(images)}]}}'.encode()


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


TABLES = {
    "captions.csv": "image,caption\nb.jpg,a dog\nb.jpg,it runs\n",
    "captions.CSV": "image,caption\r\nb.jpg,a dog\r\nb.jpg,it runs\r\n",
    "captions.txt": "image,caption\rb.jpg,a dog\rb.jpg,it runs\r",
    "quoted.txt": '"image","caption"\n"b.jpg","a dog"\n"b.jpg","it runs"\n',
    "more.tsv": "caption\timage\tid\na dog\tb.jpg\t0\nit runs\tb.jpg\t1\n",
    "bars.txt": "image| number| caption\nb.jpg| 0| a dog\nb.jpg| 1| it runs\n",
    "Flickr8k.token.txt": "b.jpg#0\ta dog\nb.jpg#1\tit runs\n",
    "kdmcse.txt": json.dumps({"b": {"image": "b.jpg", "captions": ["a dog", "it runs"]}}),
}


@pytest.mark.parametrize("name", TABLES)
def test_layouts_are_told_by_content(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(TABLES[name].encode())
    captions = read_captions(tmp_path / name)
    assert captions.image_ids == ("b.jpg",)
    assert captions.captions == ("a dog", "it runs")
    assert captions.named


def test_captions_of_pictures_of_one_name_stay_apart(tmp_path: Path) -> None:
    (tmp_path / "captions.csv").write_text("image,caption\ncats/1.png,a cat\ndogs/1.png,a dog\n")
    assert read_captions(tmp_path / "captions.csv").image_ids == ("cats/1.png", "dogs/1.png")
    images = [
        {"filename": "1.jpg", "filepath": folder, "split": "train", "sentences": [{"raw": folder}]}
        for folder in ("train2014", "val2014")
    ]
    (tmp_path / "coco.json").write_text(json.dumps({"images": images}))
    assert read_captions(tmp_path / "coco.json").image_ids == ("train2014/1.jpg", "val2014/1.jpg")


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path: Path, end: str) -> None:
    (tmp_path / "text.txt").write_bytes(end.join(["A dog.", "", "A\u2028cat\x0c.\x85"]).encode())
    sentences = read_sentences(tmp_path / "text.txt")
    assert sentences.texts == ("A dog.", "A\u2028cat\x0c.")
    captions = read_captions(tmp_path / "text.txt")
    assert captions.image_ids == ("0", "2")


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
        ("a.json", b'{"k": {"captions": [1]}}', "k: a caption or the image's name is not text"),
        ("a.json", b'{"k": {"captions": "abc"}}', "'captions' is not a list"),
        ("a.json", b'{"k": {"captions": ["a"]}, "l": {"image": "l"}}', "record 'l' has no 'captions'"),
        ("a.json", _karpathy('"abc"'), "images[0]: 'sentences' is text, expected a list"),
        ("a.json", _karpathy("null"), "images[0]: 'sentences' is null, expected a list"),
        ("a.json", _karpathy("[7]"), "images[0].sentences[0] has no 'raw'"),
        ("a.json", _karpathy('[{"raw": null}]'), "images[0].sentences[0]: 'raw' is null, expected text"),
        ("a.json", _karpathy('[{"raw": "\\ud83d x"}]'), "half of a surrogate pair"),
        ("a.json", _karpathy("[]", "[]"), "images[0] and images[1] are both named a"),
        ("a.json", b'{"images": [{"id": [1], "file_name": "a"}], "annotations": []}', "'id' is a list"),
        (
            "a.json",
            b'{"images": [{"id": 1, "file_name": "a"}, {"id": 1, "file_name": "b"}], "annotations": []}',
            "image 1 is both a and b",
        ),
        ("a.json", b'{"images": {}}', "expected Karpathy's split"),
        ("a.json", b'{"images": [], "annotations": null}', "'annotations' is null, expected a list"),
        ("a.txt", b'{"text": "a dog"}\n{"text": "a cat"}\n', "not valid JSON"),
        ("a.txt", b"picture,caption\na,b\n", "a table with the header"),
        ("a.txt", b"a.jpg,a dog\nb.jpg,a cat\n", "a table whose rows begin with a picture's name"),
        ("a.jsonl", b"a dog\n", "the ending .jsonl"),
        ("a.CSV", b"a dog\na cat\n", "line 1: expected a header"),
        ("a.txt", b"a\0b", "binary data"),
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
