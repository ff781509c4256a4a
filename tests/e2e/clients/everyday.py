"""Everyday use of PyPI's `kubernetes` package against a device.

In: the path of a kubeconfig. Out: "all good", or an assertion that says what is not.
"""
import sys

from kubernetes import client, config, watch
from kubernetes.client.rest import ApiException

config.load_kube_config(sys.argv[1])
core = client.CoreV1Api()
apps = client.AppsV1Api()

assert client.VersionApi().get_code().minor == "36"
assert "default" in [n.metadata.name for n in core.list_namespace().items]
nodes = core.list_node().items
assert len(nodes) == 1 and nodes[0].status.node_info.kubelet_version, nodes
pods = core.list_namespaced_pod("default", label_selector="app=web").items
assert [p.status.phase for p in pods] == ["Running"], pods
assert "web version 1 on" in core.read_namespaced_pod_log(pods[0].metadata.name, "default")

start = core.list_namespaced_config_map("default").metadata.resource_version
body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="py"), data={"a": "1"})
core.create_namespaced_config_map("default", body)
core.patch_namespaced_config_map("py", "default", {"data": {"a": "2"}})
try:
    core.create_namespaced_config_map("default", body)
    raise AssertionError("the same name twice")
except ApiException as e:
    assert e.status == 409 and "AlreadyExists" in e.body, e
core.delete_namespaced_config_map("py", "default")
try:
    core.read_namespaced_config_map("py", "default")
    raise AssertionError("it was deleted")
except ApiException as e:
    assert e.status == 404, e

seen = []
watcher = watch.Watch()
for event in watcher.stream(core.list_namespaced_config_map, "default", resource_version=start, timeout_seconds=30):
    if event["object"].metadata.name == "py":
        seen.append((event["type"], event["object"].data["a"]))
    if len(seen) == 3:
        watcher.stop()
assert seen == [("ADDED", "1"), ("MODIFIED", "2"), ("DELETED", "2")], seen

deployment = apps.read_namespaced_deployment("web", "default")
assert deployment.status.ready_replicas == 1, deployment.status
apps.patch_namespaced_deployment_scale("web", "default", {"spec": {"replicas": 2}})
watcher = watch.Watch()
for event in watcher.stream(apps.list_namespaced_deployment, "default", timeout_seconds=60):
    if event["object"].status.ready_replicas == 2:
        watcher.stop()
        break
else:
    raise AssertionError("it was not scaled in time")
print("all good")
