"""An operator written with PyPI's `kopf`: for each Brew a ConfigMap, and the Brew's status.

Run by `kopf run`. The finalizer is kopf's own: it is there because `emptied` has to see each Brew go.
"""
import kopf
from kubernetes import client, config

config.load_kube_config()
core = client.CoreV1Api()
BREW = ("kitchen.example.com", "v1", "brews")


@kopf.on.startup()
def configured(settings, **_):
    # Progress is kept in annotations: the kind's schema prunes what it does not know from the status.
    settings.persistence.progress_storage = kopf.AnnotationsProgressStorage()
    settings.posting.level = 10


@kopf.on.create(*BREW)
def brewed(body, spec, name, namespace, patch, **_):
    pot = {"metadata": {"name": f"pot-{name}"}, "data": {"cups": str(spec["cups"]), "tea": spec["tea"]}}
    kopf.adopt(pot, owner=body)
    core.create_namespaced_config_map(namespace, pot)
    patch.status["cups"] = spec["cups"]
    kopf.info(body, reason="Brewed", message=f"{spec['cups']} cups of {spec['tea']}")


@kopf.on.update(*BREW, field="spec.cups")
def refilled(name, namespace, new, patch, **_):
    core.patch_namespaced_config_map(f"pot-{name}", namespace, {"data": {"cups": str(new)}})
    patch.status["cups"] = new


@kopf.on.delete(*BREW)
def emptied(name, namespace, **_):
    core.create_namespaced_config_map(namespace, {"metadata": {"name": f"emptied-{name}"}})
