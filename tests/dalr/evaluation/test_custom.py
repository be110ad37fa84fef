"""Evaluation tasks of the user's own: declared in YAML, scored anywhere the benchmark's are."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dalr.errors import InputError
from dalr.evaluation import MetricScorer, evaluate
from dalr.evaluation.custom import read_tasks
from dalr.evaluation.metric import parse_metric
from dalr.evaluation.plan import own_tasks
from dalr.evaluation.run import plan
from dalr.results import read_details, read_result
from tests.dalr.evaluation.golden_values import hash32

WORDS = ["good film", "bad film", "good day", "bad day"]
ROWS = [(f"{WORDS[i % 4]} {i // 8}", ["yes", "no"][i % 2]) for i in range(60)]
TASKS = """
tasks:
  - {name: Reviews, kind: classification, files: {all: reviews.tsv}, classes: [no, yes], rows: {all: 61}}
  - {name: Pairs, kind: sts, files: {test: pairs.jsonl, dev: pairs.tsv}, scale: [0, 3]}
  - {name: Labels, kind: classification, files: {train: labels.jsonl, test: labels.jsonl}, classes: [no, yes],
     pairs: true}
"""


def write_own_tasks(folder: Path) -> Path:
    """Three tasks with their files; the path of the YAML file."""
    folder.mkdir(parents=True, exist_ok=True)
    table = "label\tid\tsentence\n" + "".join(f"{y}\t{i}\t{s}\n" for i, (s, y) in enumerate(ROWS))
    (folder / "reviews.tsv").write_text(table)
    lines = [json.dumps({"sentence1": s, "sentence2": "good film", "score": i % 3}) for i, (s, _) in enumerate(ROWS)]
    (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "pairs.tsv").write_text("score\tsentence2\tsentence1\n1\tb\ta\n3\td\tc\n2\te\tc\n")
    (folder / "labels.jsonl").write_text(
        "".join(json.dumps({"sentence1": s, "sentence2": s, "label": y}) + "\n" for s, y in ROWS)
    )
    (folder / "tasks.yaml").write_text(TASKS)
    return folder / "tasks.yaml"


def test_own_tasks_are_declared_and_scored(small_data: Path, tmp_path: Path) -> None:
    own = read_tasks(write_own_tasks(tmp_path))
    result = evaluate(hash32, small_data, ["STS12"], "fast", custom=own)
    assert list(result.tasks) == ["STS12", "Reviews", "Pairs", "Labels"]
    assert (result.tasks["Reviews"].n, result.tasks["Pairs"].n, result.tasks["Labels"].n) == (60, 60, 60)
    assert result.tasks["Reviews"].acc > 90
    assert evaluate(hash32, small_data, [], "dev", custom=own).tasks["Pairs"].n == 3


def test_they_need_no_data_of_the_benchmark_and_are_not_official(tmp_path: Path) -> None:
    own = read_tasks(write_own_tasks(tmp_path))
    out = tmp_path / "r.json"
    result = evaluate(hash32, None, [], "fast", custom=own, out=out, fingerprint="f")
    assert list(result.tasks) == ["Reviews", "Pairs", "Labels"]
    assert read_result(out).provenance.official_data is False
    assert not any(read_details(out, name).record.official_data for name in result.tasks)
    with pytest.raises(InputError, match="data: STS12 are read from a SentEval folder"):
        evaluate(hash32, None, ["STS12"], "fast", custom=own)
    with pytest.raises(InputError, match="tasks: none is named"):
        evaluate(hash32, None, [], "fast")


def test_they_do_not_make_the_benchmarks_data_less_official(real_data: Path, tmp_path: Path) -> None:
    own = read_tasks(write_own_tasks(tmp_path))[1:2]
    result = evaluate(hash32, real_data / "senteval", ["STS16"], custom=own)
    assert list(result.tasks) == ["STS16", "Pairs"]
    assert result.provenance.official_data is True


def test_a_later_evaluation_keeps_their_scores_while_their_files_stay(small_data: Path, tmp_path: Path) -> None:
    path, out = write_own_tasks(tmp_path), tmp_path / "r.json"
    evaluate(hash32, None, [], "fast", custom=read_tasks(path), out=out, fingerprint="f")
    later = evaluate(hash32, small_data, ["STS13"], "fast", out=out, fingerprint="f")
    assert list(later.tasks) == ["STS13", "Labels", "Pairs", "Reviews"]
    assert "STS13" in evaluate(hash32, None, [], "fast", custom=read_tasks(path), out=out, fingerprint="f").tasks
    (tmp_path / "reviews.tsv").write_text("label\tsentence\nyes\tanother\n")
    (tmp_path / "labels.jsonl").unlink()
    assert list(evaluate(hash32, small_data, ["STS12"], "fast", out=out, fingerprint="f").tasks) == [
        "STS12",
        "STS13",
        "Pairs",
    ]


def test_they_are_metrics_and_are_named_like_the_benchmarks(small_data: Path, tmp_path: Path) -> None:
    own = read_tasks(write_own_tasks(tmp_path))
    assert parse_metric("Pairs.dev", own) == ("Pairs", "dev")
    assert MetricScorer(None, "Pairs.dev", own).score(hash32) == pytest.approx(
        evaluate(hash32, None, [], "dev", custom=own[1:2]).tasks["Pairs"].score
    )
    assert 0 <= MetricScorer(small_data, "Reviews.dev", own).score(hash32) <= 100
    with pytest.raises(InputError, match="STSBenchmark is read from a SentEval folder"):
        MetricScorer(None, "STSBenchmark.dev", own)
    with pytest.raises(InputError, match="unknown task 'Pears'"):
        MetricScorer(None, "Pears.dev", own)
    path = tmp_path / "tasks.yaml"
    assert [task.name for task in own_tasks(path, ["sts", "Labels"])] == ["Labels"]
    assert [task.name for task in own_tasks(path, ["custom"])] == ["Reviews", "Pairs", "Labels"]
    assert own_tasks(path, ["sts"]) == own_tasks(None) == ()
    assert [task.name for task in plan(["custom", "MR"], "test", own)] == ["MR", "Reviews", "Pairs", "Labels"]


def test_own_tasks_need_the_split_that_is_read(small_data: Path, tmp_path: Path) -> None:
    path = write_own_tasks(tmp_path)
    path.write_text(path.read_text().replace(", dev: pairs.tsv", ""))
    with pytest.raises(InputError, match="task Pairs declares no split 'dev', which protocol dev reads"):
        evaluate(hash32, small_data, [], "dev", custom=read_tasks(path))


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("name: Pairs", "name: STS12", "the name STS12 is taken"),
        ("name: Pairs", "name: sts", "the name sts is taken"),
        ("name: Pairs", "name: custom", "the name custom is taken"),
        ("kind: sts", "kind: ranking", "kind"),
        ("scale: [0, 3]", "scales: [0, 3]", "scales"),
        ("files: {all: reviews.tsv}", "files: {train: reviews.tsv}", "expected one of"),
        ("files: {all: reviews.tsv}", "files: {all: reviews.xlsx}", r"expected one of \.csv, \.tsv, \.jsonl"),
        ("files: {all: reviews.tsv}", "files: {all: none.csv}", r"none\.csv: no such file$"),
        ("rows: {all: 61}", "rows: {all: 60}", "61 lines, expected 60"),
        ("scale: [0, 3]", "scale: [0, 1]", r"pairs\.jsonl:3: score 2 is outside 0 to 1"),
        ("classes: [no, yes], rows", "classes: [no, maybe], rows", r"reviews\.tsv:2: 'yes' is not a class"),
        ("pairs: true", "pairs: false", r"labels\.jsonl"),
    ],
)
def test_wrong_declarations_are_refused(tmp_path: Path, before: str, after: str, message: str) -> None:
    path = write_own_tasks(tmp_path)
    text = path.read_text()
    assert before in text
    path.write_text(text.replace(before, after))
    with pytest.raises(InputError, match=message):
        evaluate(hash32, None, [], "fast", custom=read_tasks(path))


def as_csv(delimiter: str, **options: str) -> Callable[[list[list[str]]], str]:
    def write(rows: list[list[str]]) -> str:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, **options).writerows(rows)
        return text.getvalue()

    return write


def as_tsv(rows: list[list[str]]) -> str:
    return "".join("\t".join(fields) + "\n" for fields in rows)


TABLES: dict[str, tuple[str, Callable[[list[list[str]]], str]]] = {
    "commas": ("t.csv", as_csv(",")),
    "commas, line feeds": ("t.csv", as_csv(",", lineterminator="\n")),
    "commas, in capitals": ("t.CSV", as_csv(",")),
    "semicolons, as spreadsheets write them": ("t.csv", lambda rows: "\ufeff" + as_csv(";")(rows)),
    "carriage returns": ("t.csv", as_csv(",", lineterminator="\r")),
    "tabs": ("t.tsv", as_tsv),
    "tabs under the ending csv": ("t.csv", as_tsv),
    "commas under the ending tsv": ("t.tsv", as_csv(",")),
}


@pytest.mark.parametrize(("name", "write"), TABLES.values(), ids=TABLES.keys())
def test_tables_are_read_as_they_were_written(tmp_path: Path, name: str, write: Callable[..., str]) -> None:
    plain = [[s, y, str(i)] for i, (s, y) in enumerate(ROWS)]
    awkward = [['a "quoted" film', "yes", "60"], ["a film; long, and\u2028dull", "no", "61"]]
    (tmp_path / name).write_bytes(write([["sentence", "label", "id"], *plain, *awkward]).encode())
    own = f"tasks: [{{name: T, kind: classification, files: {{all: {name}}}, classes: [no, yes]}}]"
    (tmp_path / "tasks.yaml").write_text(own)
    seen: list[str] = []
    evaluate(
        lambda texts: (seen.extend(texts), hash32(texts))[1],
        None,
        [],
        "fast",
        custom=read_tasks(tmp_path / "tasks.yaml"),
    )
    assert set(seen) == {" ".join(s.split()) for s, *_ in (*plain, *awkward)}


def test_a_quoted_field_may_hold_line_ends_and_errors_name_the_line(tmp_path: Path) -> None:
    declared = "tasks: [{name: T, kind: sts, files: {test: t.csv}}]"
    (tmp_path / "tasks.yaml").write_text(declared)
    own = read_tasks(tmp_path / "tasks.yaml")

    def scored(text: str) -> list[str]:
        (tmp_path / "t.csv").write_text(text)
        seen: list[str] = []
        evaluate(lambda texts: (seen.extend(texts), hash32(texts))[1], None, [], custom=own)
        return seen

    head = "sentence1,sentence2,score\n"
    assert "a b" in scored(head + '"a\nb",c,1\nd,e,2\nf,g,3\n')
    for text, message in {
        head + '"a\nb",c,1\nd,e,two\n': r"t\.csv:4: 'two' is not a score",
        head + "a,b,1\nd,e\n": r"t\.csv:3: 2 columns, expected 3",
        head + 'a,"b,1\nd,e,2\n': r"t\.csv:2: not CSV",
        "sentence1,sentence3,score\n": r"t\.csv:1: no column 'sentence2' in the header; it has: sentence1, sentence3",
        "sentence1,sentence2,score,score\n": r"t\.csv:1: two columns 'score'",
        '{"sentence1": "a"}\n': r"t\.csv:1: no column 'sentence1'",
    }.items():
        with pytest.raises(InputError, match=message):
            scored(text)


@pytest.mark.parametrize(
    ("classes", "labels"),
    [
        ("[0, 1]", ("0", "1")),
        ("[no, yes]", ("no", "yes")),
        ("[false, true]", ("false", "true")),
        ("[a, 2]", ("a", "2")),
    ],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_classes_are_taken_as_they_are_written(tmp_path: Path, classes: str, labels: tuple, ending: str) -> None:
    values = {"0": 0, "1": 1, "2": 2, "false": False, "true": True}
    rows = [(f"{'good' if i % 2 else 'bad'} film {i // 6}", labels[i % 2]) for i in range(60)]
    if ending == "csv":
        text = "sentence,label\n" + "".join(f"{s},{y}\n" for s, y in rows)
    else:
        text = "".join(json.dumps({"sentence": s, "label": values.get(y, y)}) + "\n" for s, y in rows)
    (tmp_path / f"t.{ending}").write_text(text)
    declared = f"tasks: [{{name: T, kind: classification, files: {{all: t.{ending}}}, classes: {classes}}}]"
    (tmp_path / "tasks.yaml").write_text(declared)
    (task,) = read_tasks(tmp_path / "tasks.yaml")
    assert task.classes == labels
    assert evaluate(hash32, None, [], "fast", custom=[task]).tasks["T"].acc > 90


def test_a_score_that_is_no_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"sentence1": "a", "sentence2": "b", "score": NaN}\n' * 3)
    (tmp_path / "tasks.yaml").write_text("tasks: [{name: T, kind: sts, files: {test: t.jsonl}}]")
    with pytest.raises(InputError, match=r"t\.jsonl:1: score nan is outside 0 to 5"):
        evaluate(lambda texts: np.ones((len(texts), 2)), None, [], custom=read_tasks(tmp_path / "tasks.yaml"))
