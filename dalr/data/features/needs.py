"""What the objective's active terms read besides the student's own vectors."""

from dataclasses import dataclass

from dalr.config.objective import ObjectiveConfig
from dalr.losses.terms import TERMS, Corpus, Need


@dataclass(frozen=True)
class Needs:
    """`sentence_vectors` and `token_states` name the corpora (`captions`, `text`) for which the text
    teachers' features are needed."""

    sentence_vectors: frozenset[str]
    token_states: frozenset[str]
    images: bool
    caption_features: bool


def needs_of(objective: ObjectiveConfig) -> Needs:
    """The needs of an objective. A threshold compares image with caption features, in each term that reads it."""
    corpora: dict[Need, set[Corpus]] = {"images": set(), "captions": set(), "sentences": set(), "tokens": set()}
    for name, term in TERMS.items():
        if not objective.active(name):
            continue
        filtered = objective.threshold is not None and "threshold" in term.settings
        for need in (*term.needs, *(("images", "captions") if filtered else ())):
            corpora[need] |= {"captions", "text"} if name in objective.on_text else {"captions"}
    return Needs(
        sentence_vectors=frozenset(corpora["sentences"]),
        token_states=frozenset(corpora["tokens"]),
        images=bool(corpora["images"]),
        caption_features=bool(corpora["captions"]),
    )
