"""The generated files under knative/, by path: what of them stands where, and what an overlay adds."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from shared.function import Spec
from shared.manifests.broker import topology_objects
from shared.manifests.cluster import CONFIG, Object, made, secrets, settings
from shared.manifests.deployables import NAMESPACE, Deployable
from shared.manifests.knative import always_there, service, triggers
from shared.manifests.networks import policies
from shared.manifests.workloads import (
    ADMINISTRATOR_ACCOUNT,
    MIGRATION_ACCOUNT,
    administrator,
    budget,
    files_claim,
    full_strength,
    migration,
    workload,
)

Files = dict[str, list[Object]]

_KUSTOMIZE = "kustomize.config.k8s.io"
# Written by hand.
_BY_HAND = ("broker.yaml", "namespace.yaml")


def knative(specs: Sequence[Spec], listed: Sequence[Deployable]) -> Files:
    # Sources, Broker and Triggers do here what the connector does elsewhere.
    carriers = [each for each in listed if each.carries]
    here = [each for each in listed if not each.carries]
    base = _base(specs, here)
    return {
        **{f"base/{path}": objects for path, objects in base.items()},
        "base/kustomization.yaml": [_kustomization(sorted((*base, *_BY_HAND)))],
        "components/administrator/administrator.yaml": [_account(ADMINISTRATOR_ACCOUNT), administrator()],
        "components/connector/connector.yaml": [
            *(_account(group) for group in sorted({each.group for each in carriers})),
            *(made_of for each in carriers for made_of in workload(each)),
        ],
        "components/external-secrets/external-secrets.yaml": [_external(name) for name in _secrets(listed)],
        "overlays/prod/scale.yaml": [*_found(map(always_there, here)), *_found(map(full_strength, here))],
        "overlays/prod/budgets.yaml": _found(map(budget, here)),
        "secrets.yaml": [_template(name) for name in _secrets(listed)],
    }


def _base(specs: Sequence[Spec], here: Sequence[Deployable]) -> Files:
    files: defaultdict[str, list[Object]] = defaultdict(list)
    for each in here:
        if each.kind == "function":
            files[f"functions/{each.group}.yaml"] += [service(each), *triggers(each)]
        else:
            files[f"always-on/{each.name}.yaml"] += [*workload(each), *triggers(each)]
    if any(each.shares_files for each in here):
        files["files.yaml"] = [files_claim()]
    return {
        **files,
        "accounts.yaml": [_account(group) for group in sorted({MIGRATION_ACCOUNT, *(each.group for each in here)})],
        "config.yaml": [made("v1", "ConfigMap", CONFIG, data=settings(here))],
        "migration.yaml": [migration()],
        "networks.yaml": policies(here),
        "topology.yaml": topology_objects(specs),
    }


def _found(objects: Iterable[Object | None]) -> list[Object]:
    return [each for each in objects if each is not None]


def _kustomization(resources: Sequence[str]) -> Object:
    return {
        "apiVersion": f"{_KUSTOMIZE}/v1beta1",
        "kind": "Kustomization",
        "namespace": NAMESPACE,
        "resources": list(resources),
    }


def _account(group: str) -> Object:
    """Nothing here speaks to Kubernetes."""
    return {**made("v1", "ServiceAccount", group), "automountServiceAccountToken": False}


def _secrets(listed: Iterable[Deployable]) -> list[str]:
    return sorted({name for each in listed for name in secrets(each)})


def _keys(secret: str) -> Mapping[str, str]:
    """The files in it."""
    return {"signing-000001.key" if secret == "signing-keys" else secret: ""}  # noqa: S105 - a name


def _template(name: str) -> Object:
    return made("v1", "Secret", name, type="Opaque", stringData=dict(_keys(name)))


def _external(name: str) -> Object:
    """Keys are bytes, so they lie there in Base64; those that sign are properties of one entry, by their files."""
    key = f"sutazai/{name}"
    decoded = {"decodingStrategy": "Base64"} if name == "signing-keys" or name.endswith(".key") else {}
    entry: Object = {"data": [{"secretKey": name, "remoteRef": {"key": key, **decoded}}]}
    if name == "signing-keys":
        entry = {"dataFrom": [{"extract": {"key": key, **decoded}}]}
    return made(
        "external-secrets.io/v1",
        "ExternalSecret",
        name,
        spec={
            "refreshInterval": "1h",
            "secretStoreRef": {"kind": "ClusterSecretStore", "name": "sutazai"},
            "target": {"name": name, "creationPolicy": "Owner"},
            **entry,
        },
    )
