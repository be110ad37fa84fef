"""What the objective's active terms read besides the student's own vectors."""

from dataclasses import dataclass

from dalr.config.schema import ObjectiveConfig


@dataclass(frozen=True)
class Needs:
    """`sentence_vectors` and `token_states` name the corpora (`captions`, `text`) for which the text
    teachers' features are needed."""

    sentence_vectors: frozenset[str]
    token_states: frozenset[str]
    images: bool
    caption_features: bool


def needs_of(objective: ObjectiveConfig) -> Needs:
    """The needs of an objective. Its threshold compares image with caption features in both
    grounding terms."""
    on_text = set(objective.on_text)
    active = objective.active
    filtered = objective.threshold is not None
    vectors, states = set(), set()
    if active("cross_alignment") or active("intra_alignment") or active("rank"):
        vectors.add("captions")
    if any(active(term) and term in on_text for term in ("intra_alignment", "rank")):
        vectors.add("text")
    if active("local_global"):
        states.update({"captions", "text"} if "local_global" in on_text else {"captions"})
    grounding_image, grounding_text = active("grounding_image"), active("grounding_text")
    images = grounding_image or active("consistency") or active("cross_alignment") or (filtered and grounding_text)
    captions = grounding_text or (filtered and grounding_image)
    return Needs(frozenset(vectors), frozenset(states), images, captions)
