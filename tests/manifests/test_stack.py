"""stack.yml: every function that can be one, as it was declared."""

from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from events.topology import wake_up_key
from shared.catalog import all_functions
from shared.config import Settings
from shared.manifests.cluster import secrets
from shared.manifests.deployables import deployables
from shared.manifests.files import ROOT
from shared.manifests.images import FAMILIES
from tests.manifests.stack_file import Stack, loaded, substituted

TEXT = (ROOT / "stack.yml").read_text()
ALL = {each.name: each for each in deployables(all_functions())}
SCALE = "com.openfaas.scale"


@pytest.fixture(scope="module")
def stack() -> Stack:
    return loaded(yaml.safe_load(substituted(TEXT)))


def _document() -> Any:
    return yaml.safe_load(substituted(TEXT))


def test_it_holds_what_can_be_a_function_and_names_the_others(stack: Stack) -> None:
    assert stack.functions.keys() == {name for name, each in ALL.items() if each.kind == "function"}
    head = TEXT.partition("version:")[0]
    for name in ALL.keys() - stack.functions.keys():
        assert f"#   {name}: " in head


@pytest.mark.parametrize(
    "planted",
    [
        {"functions": {"auth-login": {"enviroment": {}}}},
        {"functions": {"auth-login": {"limits": {"cpu": "1000m", "memory": "64Mi", "gpu": "1"}}}},
        {"functions": {"auth-login": {"labels": {"com.openfaas.scale.min": 1}}}},
        {"functions": {"auth-login": {"readonly_root_filesystem": "true"}}},
        {"provider": {"network": "func_functions"}},
        {"funtions": {}},
    ],
    ids=str,
)
def test_a_key_that_nobody_reads_is_an_error(planted: dict[str, Any]) -> None:
    document = _document()
    loaded(document)
    _merge(document, planted)
    with pytest.raises(ValidationError):
        loaded(document)


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


def test_each_function_is_what_was_declared(stack: Stack) -> None:
    for name, function in stack.functions.items():
        each = ALL[name]
        assert function.image == f"sutazai/{each.family}:0.1.0"
        assert function.handler == "."
        assert function.build_args == {"EXTRAS": " ".join(sorted(FAMILIES[each.family]))}
        assert function.readonly_root_filesystem
        assert function.secrets == secrets(each)
        assert set(each.env) <= function.environment.keys()
        assert function.environment["FUNCTION"] == name
        assert function.environment["exec_timeout"] == f"{each.timeout_s}s"
        topics = [wake_up_key(wakes.agent) if wakes.agent else wakes.type for wakes in each.subscriptions]
        assert function.annotations.get("topic", "") == ",".join(topics)
        assert function.annotations["com.openfaas.ready.http.path"] == each.ready_path


def test_scales_are_within_bounds_and_zero_where_declared(stack: Stack) -> None:
    for name, function in stack.functions.items():
        scale = ALL[name].scale
        labels = function.labels
        assert int(labels[f"{SCALE}.min"]) == max(scale.min, 1) <= int(labels[f"{SCALE}.max"]) == scale.max
        assert int(labels[f"{SCALE}.target"]) >= 1
        assert labels[f"{SCALE}.zero"] == ("false" if scale.min else "true")
        assert (f"{SCALE}.zero-duration" in labels) == (scale.min == 0)
        assert labels[f"{SCALE}.type"] == ("cpu" if scale.metric == "cpu" else "capacity")


def test_every_value_can_be_read_with_and_without_the_deployers_environment(stack: Stack) -> None:
    environ = {
        "SUTAZAI_HOSTS": "api.example.org",
        "SUTAZAI_DEFAULT_TIER": "basic",
        "SUTAZAI_REPLICAS": "7",
        "SUTAZAI_TRUSTED_PROXIES": "192.0.2.0/24",
        "IMAGES": "registry.example.org/s",
        "TAG": "2",
    }
    told = loaded(yaml.safe_load(substituted(TEXT, environ)))
    for name in stack.functions:
        for function, tier in ((stack.functions[name], "free"), (told.functions[name], "basic")):
            variables = {key: value for key, value in function.environment.items() if not key.endswith("_FILE")}
            read = Settings.read(variables)
            assert read.default_tier == (tier if "SUTAZAI_DEFAULT_TIER" in ALL[name].env else "enterprise")
        assert told.functions[name].image == f"registry.example.org/s/{ALL[name].family}:2"


def test_secrets_are_read_where_they_are_mounted(stack: Stack) -> None:
    for function in stack.functions.values():
        files = {value for key, value in function.environment.items() if key.endswith("_FILE")}
        # All that a Secret holds lies in one folder there, under its own name.
        assert files <= {f"/var/openfaas/secrets/{secret}" for secret in function.secrets}
        keyed = any(secret.endswith((".key", "-keys")) for secret in function.secrets)
        assert function.environment.get("SUTAZAI_KEYS_DIR") == ("/var/openfaas/secrets" if keyed else None)
