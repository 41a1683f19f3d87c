"""The restricted profile of Kubernetes' Pod Security Standards, and what we ask beyond it."""

from collections.abc import Iterator
from typing import Any

Object = dict[str, Any]

_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected"),
    "secret",
}
_SECCOMP = {"RuntimeDefault", "Localhost"}
_SYSCTLS = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
    *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"),
}


def violations(pod: Object) -> Iterator[str]:
    """Of a pod's spec."""
    context = pod.get("securityContext", {})
    yield from (f"{name} is shared" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name))
    yield from (
        f"volume {volume['name']} is {sorted(volume.keys() - {'name'} - _VOLUMES)}"
        for volume in pod.get("volumes", ())
        if volume.keys() - {"name"} - _VOLUMES
    )
    yield from (f"sysctl {one['name']}" for one in context.get("sysctls", ()) if one["name"] not in _SYSCTLS)
    if context.get("runAsUser") == 0:
        yield "the pod runs as root"
    for kind in ("initContainers", "containers", "ephemeralContainers"):
        for container in pod.get(kind, ()):
            yield from (f"{container['name']}: {what}" for what in _of_container(container, context))


def _of_container(container: Object, pod: Object) -> Iterator[str]:
    context = container.get("securityContext", {})
    capabilities = context.get("capabilities", {})
    if context.get("privileged"):
        yield "privileged"
    if context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if "ALL" not in capabilities.get("drop", ()):
        yield "keeps capabilities"
    if set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}:
        yield "adds capabilities"
    if context.get("runAsNonRoot", pod.get("runAsNonRoot")) is not True:
        yield "may run as root"
    if context.get("runAsUser") == 0:
        yield "runs as root"
    if context.get("seccompProfile", pod.get("seccompProfile", {})).get("type") not in _SECCOMP:
        yield "has no seccomp profile"
    if context.get("procMount", "Default") != "Default":
        yield "sees more of /proc"
    if any(port.get("hostPort") for port in container.get("ports", ())):
        yield "takes a port of its host"
    # Beyond the profile.
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write to its image"
    resources = container.get("resources", {})
    if {"cpu", "memory"} - resources.get("limits", {}).keys() or {"cpu", "memory"} - resources.get(
        "requests", {}
    ).keys():
        yield "has no bounds"
    name = container["image"].rpartition("/")[2]
    if "@sha256:" not in name and (":" not in name or name.endswith(":latest")):
        yield f"{container['image']} may be anything"
