"""Files that are nearly right: those of the corpus, with pieces cut, repeated, swapped and put in."""

from pathlib import Path

from hypothesis import strategies as st

CORPUS = Path(__file__).parent / "corpus"

PIECES = [
    *(b"\r", b"\n", b"\r\n", b"\t", b",", b";", b"|", b'"', b"'", b"\\", b"/", b"../", b"#", b"#0\t", b"=", b":", b"."),
    *(b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\x0c", b"\x1c", b"\xc2\x85", b"\xe2\x80\xa8", b"\xc3\xa9"),
    *(b"\\u0000", b"\\ud83d", b"{", b"}", b"[", b"]", b"{}", b"[]", b"null", b"true", b"NaN", b"Infinity", b"-1"),
    *(b"0", b"08", b"1e-4", b"1e999", b"0x10", b"1_0", b"9" * 20, b"&a ", b"*a", b"!!python/name:os.system ", b"<<: "),
    *(b"- ", b"---\n", b"? ", b"~", b"images", b"captions", b"caption", b"image,caption\n", b".jpg", b"train.seed"),
    *(b"<html>", b"version https://git-lfs", b"\x93NUMPY", b"PAR1", b"\x89HDF\r\n\x1a\n", b"\x00" * 8, b"\x7f" * 4),
]
PLACE = st.floats(0, 1)


@st.composite
def files(draw: st.DrawFn, reader: str) -> tuple[str, bytes]:
    """The name and the bytes of a file for a reader: one of its corpus, changed in up to six places."""
    seed = draw(st.sampled_from(sorted(path for path in (CORPUS / reader).iterdir())))
    data = seed.read_bytes()
    others = sorted(path for path in CORPUS.glob("*/*"))
    for _ in range(draw(st.integers(0, 6))):
        start, stop = sorted(int(draw(PLACE) * len(data)) for _ in range(2))
        match draw(st.sampled_from(["cut", "end", "put", "repeat", "write", "swap", "splice", "bytes"])):
            case "cut":
                data = data[:start] + data[stop:]
            case "end":
                data = data[:stop]
            case "put":
                data = data[:start] + draw(st.sampled_from(PIECES)) + data[start:]
            case "repeat":
                data = data[:stop] + data[start : min(stop, start + 200)] * draw(st.integers(1, 3)) + data[stop:]
            case "write":
                piece = draw(st.sampled_from(PIECES))
                data = data[:start] + piece + data[start + len(piece) :]
            case "swap":
                data = data.replace(
                    draw(st.sampled_from(PIECES)), draw(st.sampled_from(PIECES)), draw(st.integers(1, 3))
                )
            case "splice":
                other = draw(st.sampled_from(others)).read_bytes()
                data = data[:start] + other[: int(draw(PLACE) * len(other))] + data[stop:]
            case "bytes":
                data = data[:start] + draw(st.binary(max_size=8)) + data[stop:]
    return seed.name, data[:100_000]
