"""The objective's part of a config. The keys of its terms come from `dalr.losses.terms`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal, Self

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, create_model, model_validator
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from dalr.config.fields import Fraction, Margin, OneOf, Part, Temperature, Weight
from dalr.losses.terms import TERMS, Number, Term, terms_where


class TermPart(Part):
    """The base of the parts whose keys come from `TERMS`."""

    def __reduce__(self) -> tuple[Any, ...]:
        """Their classes are made, so that pickle cannot find them by name; it makes them anew."""
        return _unpickled, (type(self).__name__, self.model_dump())


@dataclass(frozen=True)
class KeysOfTerms:
    """Marks a field whose keys come from `TERMS`, as they are when a value is read or written: `part` is the class
    that declares them."""

    part: Callable[[], type[TermPart]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        written = core_schema.wrap_serializer_function_ser_schema(lambda value, write: write(self.value(value)))
        return core_schema.no_info_plain_validator_function(self.value, serialization=written)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self.part().__pydantic_core_schema__)

    def value(self, given: Any) -> TermPart:
        """The part of today's terms from keys and values, or from a part of fewer terms."""
        part = self.part()
        if isinstance(given, part):
            return given
        return part.model_validate(given.model_dump() if isinstance(given, TermPart) else given)


def weights_part() -> type[TermPart]:
    """The class of `objective.weights`: a weight for each term."""
    return _weights_part(tuple(TERMS.items()))


def soft_part() -> type[TermPart]:
    """The class of `objective.soft`: a part for each term that has settings of its own."""
    return _soft_part(tuple(TERMS.items()))


def terms_of_text() -> tuple[str, ...]:
    """The terms that text batches may have."""
    return terms_where(lambda term: "text" in term.corpora)


@lru_cache(maxsize=8)
def _weights_part(terms: tuple[tuple[str, Term], ...]) -> type[TermPart]:
    fields = {
        name: (Weight, Field(default=0.0, description=f"weight, inside {term.group}, of {name}: {term.description}"))
        for name, term in terms
    }
    return _part("weights", "The weight of each term inside its group; 0 leaves a term out.", fields)


@lru_cache(maxsize=8)
def _soft_part(terms: tuple[tuple[str, Term], ...]) -> type[TermPart]:
    parts = {name: _own_part(name, term) for name, term in terms if term.own}
    fields = {
        name: (part, Field(default=part(), description=f"settings of {name} alone")) for name, part in parts.items()
    }
    return _part("soft", "Settings of one term alone.", fields)


def _own_part(name: str, term: Term) -> type[TermPart]:
    fields: dict[str, Any] = {}
    for own, meaning in term.own.items():
        if isinstance(meaning, Number):
            bounded = Field(default=meaning.default, ge=meaning.low, le=meaning.high, description=meaning.description)
            fields[own] = (float, bounded)
        else:
            shared = ObjectiveConfig.model_fields[meaning]
            description = f"objective.{meaning} for {name} alone; null takes objective.{meaning}"
            fields[own] = (_optional(shared), Field(default=None, description=description))
    return _part(f"soft.{name}", f"Settings of {name} alone.", fields)


def _optional(field: FieldInfo) -> Any:
    kind: Any = field.annotation
    for bound in field.metadata:
        kind = Annotated[kind, bound]
    return kind | None


def _part(name: str, doc: str, fields: Mapping[str, Any]) -> type[TermPart]:
    return create_model(name, __base__=TermPart, __doc__=doc, **dict(fields))


def _unpickled(name: str, values: dict[str, Any]) -> TermPart:
    return {"weights": WEIGHTS, "soft": SOFT}[name].value(values)


WEIGHTS, SOFT = KeysOfTerms(weights_part), KeysOfTerms(soft_part)


class ObjectiveConfig(Part):
    """The objective of `dalr.losses.objective`, every number named.

    total = text + `cross_modal`·Σ terms of its group + `intra_modal`·Σ terms of its group.
    """

    temperature: Temperature = Field(default=0.05, description="τ, divides the cosines of text with text")
    temperature_vl: Temperature = Field(default=0.05, description="τ_vl, divides the cosines of text with images")
    temperature_rank: Temperature = Field(default=0.05, description="τ_r, divides the teachers' similarities in rank")
    alignment_temperature: Temperature = Field(
        default=0.45, description="τ_s, divides the logits of cross_alignment and intra_alignment"
    )
    target_temperature: Temperature = Field(
        default=0.5, description="divides the similarities that make the soft targets of the alignment terms"
    )
    softening: Fraction = Field(default=1.0, description="share of the soft target: 1 is fully soft, 0 is one-hot")
    eta: Fraction = Field(
        default=0.0,
        description="share of the consistency task's similarity in the targets of cross_alignment; 0 as published",
    )
    margin_text: Margin = Field(default=0.0, description="m1, angular margin of text with text, in radians")
    margin_vl: Margin = Field(default=0.0, description="m2, angular margin of the grounding terms, in radians")
    consistency_margin: float = Field(
        default=0.2, ge=-1.0, le=1.0, description="cosine below which an unmatched pair of consistency costs nothing"
    )
    cross_modal: Weight = Field(default=0.0, description="λ, weight of the sum of the terms that look at images")
    intra_modal: Weight = Field(default=0.0, description="μ, weight of the sum of the terms of sentences alone")
    rank_loss: Literal["listmle", "listnet"] = Field(default="listmle", description="the loss of rank")
    rank_reduction: Literal["sum", "mean"] = Field(
        default="sum",
        description="what listmle takes over a row's list of B entries: the sum as published, or the mean, whose size "
        "does not grow with the batch; listnet is a mean already",
    )
    weights: Annotated[TermPart, WEIGHTS] = Field(
        default={}, validate_default=True, description="the weight of each term inside its group; 0 leaves a term out"
    )
    soft: Annotated[TermPart, SOFT] = Field(
        default={}, validate_default=True, description="settings of one term alone, above the objective's own values"
    )
    image_softened_margin: bool = Field(
        default=True, description="whether the grounding terms soften the margin of negatives that are alike"
    )
    threshold: float | None = Field(
        default=None,
        ge=-1e6,
        le=1e6,
        description="negatives of the grounding terms whose raw dot product exceeds it are left out; null: none",
    )
    token_norm: Literal["feature", "token", "token_padded"] = Field(
        default="feature",
        description="how local_global normalises token states: each token to unit length, or each feature over the "
        "sentence's unmasked tokens, or over the padded length (as published)",
    )
    token_teachers: Literal["shared", "any"] = Field(
        default="shared",
        description="whose token states local_global takes: of the text teachers that share the student's tokenizer "
        "(an error where none does); any: where none does, of the first teacher under its own tokenizer",
    )
    on_text: tuple[Annotated[str, OneOf(terms_of_text)], ...] = Field(
        default=(), description="the terms that text batches have too, of those that need no images"
    )

    def weight(self, term: str) -> float:
        """The weight of a term inside its group."""
        return getattr(WEIGHTS.value(self.weights), term)

    def active(self, term: str) -> bool:
        """Whether `term` adds anything to the total."""
        return getattr(self, TERMS[term].group) > 0 and self.weight(term) > 0

    def own(self, term: str, name: str) -> Any:
        """A setting of one term alone, `objective.soft.TERM.NAME`; where that is null, the objective's own value."""
        value = getattr(getattr(SOFT.value(self.soft), term), name)
        shared = TERMS[term].own[name]
        return getattr(self, shared) if value is None and isinstance(shared, str) else value

    @model_validator(mode="after")
    def _eta_needs_consistency(self) -> Self:
        eta = self.own("cross_alignment", "eta")
        if eta > 0 and self.weight("consistency") == 0:
            raise ValueError(
                f"objective.eta is {eta}, but objective.weights.consistency is 0: the targets would mix in "
                "an auxiliary task that is never trained; set the weight above 0 or eta to 0"
            )
        return self
