"""The 14 tasks in SentEval's files: its names, columns, line ends and encodings, small."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from dalr.datasets.embedded import opinions
from dalr.datasets.embedded.captions import prose, sentence
from dalr.datasets.embedded.scenes import Scene, changed, described, likeness, random_scene

STS_SUBSETS: dict[str, dict[str, str]] = {
    "STS12": {
        "MSRpar": "news",
        "MSRvid": "caption",
        "SMTeuroparl": "report",
        "surprise.OnWN": "definition",
        "surprise.SMTnews": "news",
    },
    "STS13": {"FNWN": "definition", "headlines": "headline", "OnWN": "definition"},
    "STS14": {
        "deft-forum": "forum",
        "deft-news": "news",
        "headlines": "headline",
        "images": "scene",
        "OnWN": "definition",
        "tweet-news": "headline",
    },
    "STS15": {
        "answers-forums": "forum",
        "answers-students": "report",
        "belief": "forum",
        "headlines": "headline",
        "images": "scene",
    },
    "STS16": {
        "answer-answer": "forum",
        "headlines": "headline",
        "plagiarism": "report",
        "postediting": "report",
        "question-question": "question",
    },
}
"""The subsets of each STS task, and the register in which each speaks."""

SUBSET_PAIRS = 30
UNSCORED_PAIRS = 15
PARTLY_SCORED = ("STS15", "STS16")
"""The tasks whose gold files have empty lines: pairs that were never scored."""


@dataclass(frozen=True)
class ScoredPair:
    """Two sentences, tokenised and lower case, their gold in [0, 5], and the descriptions behind."""

    first: str
    second: str
    gold: float
    told: tuple[Scene, Scene]


def scored_pair(rng: random.Random, register: str) -> ScoredPair:
    """A pair of descriptions between "says the same" and "has nothing in common"."""
    scene = random_scene(rng)
    closeness = rng.randrange(7)
    other = random_scene(rng) if closeness == 6 else changed(scene, rng, edits=min(closeness, 4))
    one, two = described(scene, rng), described(other, rng)
    if closeness == 0:
        two = one
    first, second = sentence(one, rng, register), sentence(two, rng, register)
    return ScoredPair(first, second, round(5 * likeness(one, two), 2), (one, two))


def distinct_pairs(rng: random.Random, register: str, count: int) -> list[ScoredPair]:
    """`count` pairs, none twice and none of a sentence with itself."""
    pairs: dict[tuple[str, str], ScoredPair] = {}
    while len(pairs) < count:
        pair = scored_pair(rng, register)
        if pair.first != pair.second:
            pairs.setdefault((pair.first, pair.second), pair)
    return list(pairs.values())


def distinct(rng: random.Random, make: Callable[[random.Random], str], count: int) -> list[str]:
    """`count` different texts of a maker."""
    texts: dict[str, None] = {}
    for _ in range(200 * count):
        texts[make(rng)] = None
        if len(texts) == count:
            return list(texts)
    raise ValueError(f"{make} makes {len(texts)} different texts; {count} were asked for")


def senteval_files(seed: int) -> dict[str, bytes]:
    """All files of the 14 tasks by their path below the `senteval` folder."""

    def generator(task: str) -> random.Random:
        return random.Random(f"{seed} {task}")  # so that one task's size does not change another

    files: dict[str, bytes] = {}
    for task, subsets in STS_SUBSETS.items():
        files |= _sts(task, subsets, generator(task))
    files |= _sts_benchmark(generator("STSBenchmark"))
    files |= _sick(generator("SICKRelatedness"))
    files |= _opinions(generator)
    files |= _mrpc(generator("MRPC"))
    return {f"downstream/{path}": content for path, content in files.items()}


def _lines(lines: list[str], encoding: str = "utf-8", end: str = "\n") -> bytes:
    return "".join(line + end for line in lines).encode(encoding)


def _sts(task: str, subsets: dict[str, str], rng: random.Random) -> dict[str, bytes]:
    files = {}
    for subset, register in subsets.items():
        pairs = distinct_pairs(rng, register, SUBSET_PAIRS + (UNSCORED_PAIRS if task in PARTLY_SCORED else 0))
        scored = set(rng.sample(range(len(pairs)), SUBSET_PAIRS))
        golds = [f"{pair.gold:.2f}" if number in scored else "" for number, pair in enumerate(pairs)]
        folder = f"STS/{task}-en-test"
        files[f"{folder}/STS.input.{subset}.txt"] = _lines([f"{pair.first}\t{pair.second}" for pair in pairs])
        files[f"{folder}/STS.gs.{subset}.txt"] = _lines(golds)
    return files


def _sts_benchmark(rng: random.Random) -> dict[str, bytes]:
    genres = {"caption": "main-captions", "scene": "main-captions", "headline": "main-news", "news": "main-news"}
    genres |= {"forum": "main-forums", "question": "main-forums"}
    files, number = {}, 0
    for split, each in (("train", 50), ("dev", 30), ("test", 30)):
        lines = []
        for register, genre in genres.items():
            for pair in distinct_pairs(rng, register, each):
                lines.append(f"{genre}\t{register}\tdrawn\t{number:04d}\t{pair.gold:.3f}\t{pair.first}\t{pair.second}")
                number += 1
        files[f"STS/STSBenchmark/sts-{split}.csv"] = _lines(lines)
    return files


def _sick(rng: random.Random) -> dict[str, bytes]:
    """SICK is cased, without a full stop, scored from 1 to 5; its test file has CRLF line ends."""
    header = "pair_ID\tsentence_A\tsentence_B\trelatedness_score\tentailment_judgment"
    files, number = {}, 0
    for name, count, end in (("train", 150, "\n"), ("trial", 50, "\n"), ("test_annotated", 150, "\r\n")):
        lines = [header]
        for pair in distinct_pairs(rng, "caption", count):
            number += 1
            first, second = (prose(text).rstrip(".") for text in (pair.first, pair.second))
            lines.append(f"{number}\t{first}\t{second}\t{1 + 0.8 * pair.gold:.1f}\t{_judgment(pair)}")
        files[f"SICK/SICK_{name}.txt"] = _lines(lines, end=end)
    return files


def _judgment(pair: ScoredPair) -> str:
    """What the first sentence says of the second."""
    one, two = pair.told
    if one == two:
        return "ENTAILMENT"
    same_subject = (one.kind, one.count, one.setting) == (two.kind, two.count, two.setting)
    return "CONTRADICTION" if same_subject and one.moving != two.moving else "NEUTRAL"


def _opinions(generator: Callable[[str], random.Random]) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    makers = {
        "MR": ("MR/rt-polarity", opinions.film_review, 150),
        "CR": ("CR/custrev", opinions.product_review, 120),
        "MPQA": ("MPQA/mpqa", opinions.phrase, 120),
    }
    for task, (path, make, count) in makers.items():
        rng = generator(task)
        for end, good in ((".pos", True), (".neg", False)):
            texts = distinct(rng, partial(make, good=good), count)
            files[path + end] = _lines(texts, "latin-1")
    rng = generator("SUBJ")
    files["SUBJ/subj.objective"] = _lines(distinct(rng, opinions.plot, 150), "latin-1")
    files["SUBJ/subj.subjective"] = _lines(distinct(rng, opinions.opinion, 150), "latin-1")
    return files | _sst(generator("SST2")) | _trec(generator("TREC"))


def _sst(rng: random.Random) -> dict[str, bytes]:
    """Binary sentiment, `sentence<TAB>label`, the splits disjoint."""
    texts = {label: distinct(rng, partial(opinions.film_review, good=label == 1), 300) for label in (1, 0)}
    files = {}
    for split, rows in (("train", slice(0, 150)), ("dev", slice(150, 200)), ("test", slice(200, 300))):
        lines = [f"{text}\t{label}" for label in (1, 0) for text in texts[label][rows]]
        rng.shuffle(lines)
        files[f"SST/binary/sentiment-{split}"] = _lines(lines)
    return files


def _trec(rng: random.Random) -> dict[str, bytes]:
    """Questions of 6 classes, `COARSE:fine question`, the splits disjoint; latin-1 with accents."""
    lines: dict[str, list[str]] = {"train_5500.label": [], "TREC_10.label": []}
    for coarse in opinions.QUESTIONS:
        made = distinct(rng, partial(opinions.question, coarse=coarse), 60)
        lines["train_5500.label"] += made[:40]
        lines["TREC_10.label"] += made[40:]
    for split in lines.values():
        rng.shuffle(split)
    return {f"TREC/{name}": _lines(split, "latin-1") for name, split in lines.items()}


def _mrpc(rng: random.Random) -> dict[str, bytes]:
    """MRPC is cased and tokenised; its files begin with a byte order mark and a header."""
    files, number = {}, 1000
    for split, count in (("train", 300), ("test", 200)):
        lines = ["\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String"]
        while len(lines) <= count:
            scene = random_scene(rng)
            same = rng.random() < 0.6
            one = described(scene, rng)
            two = one if same else described(changed(scene, rng, edits=rng.choice((1, 1, 2))), rng)
            first, second = (sentence(told, rng, "news").capitalize() for told in (one, two))
            if first == second or (not same and one == two):
                continue
            number += 2
            lines.append(f"{int(same)}\t{number}\t{number + 1}\t{first}\t{second}")
        files[f"MRPC/msr_paraphrase_{split}.txt"] = _lines(lines)
    return files
