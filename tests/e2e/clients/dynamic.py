"""PyPI's `kubernetes` beyond its typed calls: the dynamic client, server-side apply, watches that go on, streams.

In: the paths of a kubeconfig and of configs/examples/brew.yaml. Out: "all good", or an assertion that says what is not.
"""
import json
import sys

import yaml
from kubernetes import client, config, dynamic, stream, watch
from kubernetes.client.rest import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError, ResourceNotFoundError, UnprocessibleEntityError
from kubernetes.stream.ws_client import ERROR_CHANNEL

IN_TIME = 30

config.load_kube_config(sys.argv[1])
api = client.ApiClient()
core = client.CoreV1Api(api)
dyn = dynamic.DynamicClient(api)


def refused(error, call, *words):
    """The call fails with this error, and the server's words are in it."""
    try:
        call()
    except error as e:
        text = f"{e.status} {e.body}"
        assert all(word in text for word in words), text
        return
    raise AssertionError(f"{error.__name__} was expected with {words}")


def first(events, wanted):
    """The first event that is as wanted."""
    for event in events:
        if wanted(event):
            return event
    raise AssertionError("the watch ended before what was waited for came")


# Discovery, of what is there and of what is not.
deployments = dyn.resources.get(api_version="apps/v1", kind="Deployment")
assert deployments.namespaced and "deploy" in deployments.short_names, deployments
assert {"create", "patch", "watch", "deletecollection"} <= set(deployments.verbs), deployments.verbs
assert "scale" in deployments.subresources and "status" in deployments.subresources, deployments.subresources
assert dyn.resources.get(kind="Pod").group_version == "v1"
try:
    dyn.resources.get(api_version="kitchen.example.com/v1", kind="Brew")
    raise AssertionError("no one has defined it yet")
except ResourceNotFoundError:
    pass

# A kind of one's own, served as soon as its condition says so.
definitions = dyn.resources.get(api_version="apiextensions.k8s.io/v1", kind="CustomResourceDefinition")
with open(sys.argv[2], encoding="utf-8") as file:
    definition = yaml.safe_load(file)
definitions.create(body=definition)
name = definition["metadata"]["name"]


def established(event):
    conditions = (event["raw_object"].get("status") or {}).get("conditions") or []
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


first(definitions.watch(name=name, timeout=IN_TIME), established)
brews = dyn.resources.get(api_version="kitchen.example.com/v1", kind="Brew")

# Created with the schema's default, refused by its rules, merged, listed by a selectable field.
body = {
    "apiVersion": "kitchen.example.com/v1",
    "kind": "Brew",
    "metadata": {"name": "morning", "labels": {"of": "dyn"}},
    "spec": {"tea": "assam"},
}
made = brews.create(body=body, namespace="default")
assert (made.spec.cups, made.metadata.generation) == (2, 1), made
bad = {**body, "metadata": {"name": "bad"}, "spec": {"tea": "mud"}}
refused(UnprocessibleEntityError, lambda: brews.create(body=bad, namespace="default"), "spec.tea", "mud")
refused(ConflictError, lambda: brews.create(body=body, namespace="default"), "AlreadyExists")
merge = {"spec": {"cups": 3}}
merged = brews.patch(
    body=merge, name="morning", namespace="default", content_type="application/merge-patch+json"
)
assert (merged.spec.cups, merged.spec.tea, merged.metadata.generation) == (3, "assam", 2), merged
# A custom resource knows no strategic merge, which is this client's default.
refused(ApiException, lambda: brews.patch(body=merge, name="morning", namespace="default"), "415")
pointed = [{"op": "replace", "path": "/spec/tea", "value": "sencha"}]
brews.patch(body=pointed, name="morning", namespace="default", content_type="application/json-patch+json")
assert [b.metadata.name for b in brews.get(namespace="default", field_selector="spec.tea=sencha").items] == ["morning"]
assert not brews.get(namespace="default", field_selector="spec.tea=assam").items

# The status is a resource of its own: neither writes the other.
poured = brews.status.patch(
    body={"status": {"cups": 1}, "spec": {"cups": 9}},
    name="morning",
    namespace="default",
    content_type="application/merge-patch+json",
)
assert (poured.status.cups, poured.spec.cups) == (1, 3), poured

# Server-side apply: owners, their conflict, force, and what is given up goes.
def applied(manager, spec, **how):
    whole = {"apiVersion": body["apiVersion"], "kind": "Brew", "metadata": {"name": "shared"}, "spec": spec}
    return brews.server_side_apply(body=whole, name="shared", namespace="default", field_manager=manager, **how)


applied("cook", {"tea": "assam", "cups": 4})
refused(
    ConflictError, lambda: applied("guest", {"tea": "oolong"}), "409", "conflict with", "cook", ".spec.tea"
)
taken = applied("guest", {"tea": "oolong"}, force_conflicts=True)
owners = {f.manager: f.fieldsV1.to_dict() for f in taken.metadata.managedFields}
assert "f:tea" in owners["guest"]["f:spec"] and "f:tea" not in owners["cook"]["f:spec"], owners
given_up = applied("cook", {"tea": "oolong"})
assert given_up.spec.cups == 2, "nobody wants 4 any more: the default comes back"

# A built-in kind by the same client: apply, the strategic patch, its scale.
deployment = deployments.get(name="web", namespace="default").to_dict()
strategic = {"spec": {"template": {"spec": {"containers": [{"name": "web", "env": [{"name": "A", "value": "b"}]}]}}}}
patched = deployments.patch(body=strategic, name="web", namespace="default")
container = patched.spec.template.spec.containers[0]
assert (container.image, container.env[0].value) == ("kedge.dev/demo/web:1", "b"), container
assert patched.metadata.generation == deployment["metadata"]["generation"] + 1
scale = deployments.scale.get(name="web", namespace="default")
assert (scale.kind, scale.spec.replicas) == ("Scale", 1), scale
pod = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "reader"},
    "spec": {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "containers": [
            {
                "name": "main",
                "image": "kedge.dev/demo/web:1",
                "command": ["sh", "-c", "PORT=8080 serve & trap 'exit 0' TERM; while true; do sleep 1; done"],
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1},
            }
        ],
    },
}
pods = dyn.resources.get(api_version="v1", kind="Pod")
pods.server_side_apply(body=pod, name="reader", namespace="default", field_manager="dyn")


def ready(event):
    conditions = (event["raw_object"].get("status") or {}).get("conditions") or []
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


first(pods.watch(namespace="default", name="reader", timeout=IN_TIME), ready)

# A watch that the server ends after a second goes on where it was: nothing twice, nothing lost.
start = version = brews.get(namespace="default").metadata.resourceVersion
seen = []
for cups in range(5, 11):
    brews.patch(
        body={"spec": {"cups": cups}}, name="morning", namespace="default", content_type="application/merge-patch+json"
    )
    if cups % 2:
        continue
    for event in brews.watch(namespace="default", resource_version=version, timeout=1, allow_watch_bookmarks=True):
        version = event["object"].metadata.resourceVersion
        if event["type"] != "BOOKMARK":
            seen.append((event["type"], event["object"].spec.cups))
assert seen == [("MODIFIED", cups) for cups in range(5, 11)], seen

# The typed watch reconnects by itself when its connection breaks.
watcher, seen = watch.Watch(), []
custom = client.CustomObjectsApi(api)
where = ("kitchen.example.com", "v1", "default", "brews")
for event in watcher.stream(custom.list_namespaced_custom_object, *where, resource_version=start, _request_timeout=IN_TIME):
    seen.append(event["object"]["spec"]["cups"])
    if len(seen) == 3:
        # Cut from this side; the loop asks again by itself.
        watcher._resp.connection.sock.shutdown(2)
    if len(seen) == 6:
        watcher.stop()
assert seen == list(range(5, 11)), seen

# Exec: outputs apart, what is typed, the exit code.
def executed(command, **how):
    return stream.stream(
        core.connect_get_namespaced_pod_exec,
        "reader",
        "default",
        command=command,
        **{"stderr": True, "stdin": False, "stdout": True, "tty": False, **how},
    )


assert executed(["echo", "a b"]) == "a b\n"
session = executed(["sh", "-c", "read x; echo got $x; echo err >&2; exit 6"], stdin=True, _preload_content=False)
session.write_stdin("typed\n")
session.run_forever(timeout=IN_TIME)
assert (session.read_stdout(), session.read_stderr(), session.returncode) == ("got typed\n", "err\n", 6)
session = executed(["no-such-program"], _preload_content=False)
session.run_forever(timeout=IN_TIME)
status = json.loads(session.read_channel(ERROR_CHANNEL))
assert (status["status"], status["reason"]) == ("Failure", "InternalError"), status
assert "executable file not found in $PATH" in status["message"], status

# A forwarded port is a socket.
forward = stream.portforward(core.connect_get_namespaced_pod_portforward, "reader", "default", ports="8080")
wire = forward.socket(8080)
wire.settimeout(IN_TIME)
wire.sendall(b"GET / HTTP/1.0\r\n\r\n")
answer = b""
while piece := wire.recv(4096):
    answer += piece
assert b"web version 1 on reader" in answer and forward.error(8080) is None, (answer, forward.error(8080))

# Deleted, and seen to go.
version = brews.get(namespace="default").metadata.resourceVersion
brews.delete(name="morning", namespace="default")
gone = first(brews.watch(namespace="default", resource_version=version, timeout=IN_TIME), lambda e: e["type"] == "DELETED")
assert gone["object"].metadata.name == "morning"
refused(NotFoundError, lambda: brews.get(name="morning", namespace="default"), "morning")
print("all good")
