"""stack.yml as faas-cli takes it: that reads past keys it does not know, so here they are errors."""

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Label = Annotated[str, StringConstraints(pattern=r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$")]
_SUBSTITUTED = re.compile(r"\$\{([A-Z_]+):-([^}]*)\}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Provider(_Strict):
    name: Literal["openfaas"]
    gateway: str


class Amounts(_Strict):
    cpu: str = Field(pattern=r"^[0-9]+m$")
    memory: str = Field(pattern=r"^[0-9]+Mi$")


class Function(_Strict):
    lang: Literal["dockerfile"]
    handler: str
    image: str
    build_args: dict[str, str] = {}
    environment: dict[str, str] = {}
    secrets: list[str] = []
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    requests: Amounts
    limits: Amounts
    readonly_root_filesystem: bool = False


class Stack(_Strict):
    version: Literal["1.0"]
    provider: Provider
    functions: dict[Label, Function]


def substituted(text: str, environ: dict[str, str] | None = None) -> str:
    """With variables of the environment, or what is to be taken for those that are not there."""
    known = environ or {}
    return _SUBSTITUTED.sub(lambda found: known.get(found[1]) or found[2], text)


def loaded(document: Any) -> Stack:
    """Raises ValidationError."""
    return Stack.model_validate(document)
