"""Models by the names that callers give them."""

from collections.abc import Sequence

from shared.errors import Conflict, Invalid, NotFound
from shared.ports.vector_service import Model
from shared.ports.vectors import Kept


def find_model(models: Sequence[Model], name: str | None) -> Model:
    """The first for None. Raises NotFound."""
    for model in models:
        if name in (None, model.name, model.id):
            return model
    here = ", ".join(model.name for model in models)
    raise NotFound(f"no model {(name or '')[:200]!r}; here are {here}")


def id_of(models: Sequence[Model], name: str) -> str:
    """A model elsewhere goes by the name that its vectors' owner gives it."""
    return next((model.id for model in models if name in (model.name, model.id)), name)


def chosen(models: Sequence[Model], name: str | None, dimension: int | None) -> tuple[str, int]:
    """Id and dimension of what a collection is to hold. Raises NotFound, and Invalid where they do not fit.

    A name that is none of `models` stands for a model elsewhere, whose dimension has to be said.
    """
    if name is not None and dimension is not None and all(name not in (each.name, each.id) for each in models):
        return name, dimension
    model = find_model(models, name)
    if dimension not in (None, model.dimension):
        raise Invalid(f"{model.name!r} gives {model.dimension} numbers, and not {dimension}", field="dimension")
    return model.id, model.dimension


def held(kept: Kept, asked: str | None) -> str | None:
    """The id of the collection's model, or of what it may still become. Raises Conflict where it holds another."""
    if (kept.model is None and kept.seq > 0) or (asked and kept.model and asked != kept.model):
        holds = f"vectors of {kept.model!r}" if kept.model else "vectors of its owner's own"
        raise Conflict(f"{kept.name!r} holds {holds}", model=kept.model)
    return kept.model or asked
