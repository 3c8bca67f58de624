"""Checks of a rendered chart.

check.py schemas VERSION FILE      each object against Kubernetes' own schema of that version, unknown fields refused
check.py assert CASE FILE          one line a check: "ok NAME" or "FAIL NAME: why"
check.py unpack FILE FOLDER        the settings file and the secrets as a pod sees them, below FOLDER
check.py memory FILE key=N ...     the memory limit is what these settings may come to need
check.py settings SCHEMA           reads chat-worker --help; every setting and its bounds stand in the schema
"""
import base64
import json
import pathlib
import re
import sys

import kubernetes_validate
import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from memory_bound import MIB, bound

SECRETS = "/etc/chat-worker/secrets"
CONFIG = "/etc/chat-worker/config"
STATE = "/var/lib/chat-worker"
ELSEWHERE = {"redis-url": b"redis://redis:6379/0", "proxy-main": b"http://me:s3cret@proxy.test:3128", "headers-main": b'{"X-Route":"s3cret"}'}  # existingSecret's
VERSION = yaml.safe_load((pathlib.Path(__file__).resolve().parents[2] / "charts/chat-worker/Chart.yaml").read_text())["appVersion"]


def load(path):
    documents = [d for d in yaml.safe_load_all(pathlib.Path(path).read_text()) if d]
    kinds = {d["kind"]: d for d in documents}
    assert len(kinds) == len(documents), "two of one kind"
    return kinds


EXPECTED = {
    "minimal": {"kinds": {"ConfigMap", "Secret", "ServiceAccount", "Deployment", "PodDisruptionBudget"}, "grace": 75, "startup_s": 660,
                "pdb": {"maxUnavailable": 1}, "image": f"registry.test/chat-worker:{VERSION}", "replicas": 1, "account": "t-chat-worker",
                "scrape": ("true", "9464", "/metrics"),
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
                "env": None, "secret": "t-chat-worker", "files": {"redis.url_file": "redis-url"}, "keys": {"redis-url": "redis://redis:6379/0"}},
    "full": {"kinds": {"ConfigMap", "Secret", "ServiceAccount", "Deployment", "PodDisruptionBudget"}, "grace": 113, "startup_s": 180,
             "pdb": {"minAvailable": "50%"}, "image": "registry.test/chat-worker:1.2", "replicas": 3, "account": "answerer",
             "scrape": (None, "9464", "/own"), "strategy": {"type": "Recreate"},
             "env": ["CHATW__LLM__MODELS_ALLOWED", "FROM_SECRET"], "secret": "answers",
             "files": {"redis.url_file": "redis-url", "kafka.sasl.password_file": "kafka-sasl.password",
                       "provider.second-one.api_key_file": "api-key-second-one", "context.profile.api_key_file": "context-key-profile",
                       "provider.second-one.proxy_file": "proxy-second-one", "provider.second-one.headers_file": "headers-second-one"},
             "keys": {"redis-url": "redis://user:redis-s3cret@redis:6379/2", "kafka-sasl.password": "kafka-s3cret;#=", "api-key-second-one": "llm-s3cret", "context-key-profile": "profile-s3cret",
                      "proxy-second-one": "http://me:proxy-s3cret@proxy.test:3128", "headers-second-one": '{"X-Route":"header-s3cret","X-Title":"a <b> & \\"c\\""}'}},
    "existing": {"kinds": {"ConfigMap", "Deployment"}, "grace": 75, "startup_s": 660, "pdb": None,
                 "image": "registry.test/chat-worker@sha256:" + "0123456789" * 6 + "0123", "replicas": 1, "account": "default",
                 "scrape": ("true", "9464", "/metrics"),
                 "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": 0}},
                 "env": None, "secret": "made-elsewhere",
                 "files": {"redis.url_file": "redis-url", "kafka.sasl.password_file": "kafka-sasl.password",
                           "provider.main.api_key_file": "api-key-main", "provider.main.headers_file": "headers-main",
                           "provider.main.proxy_file": "proxy-main"}, "keys": None},
}


def ini(text):
    section, pairs = "", {}
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line:
            key, value = line.split(" = ", 1)
            pairs[f"{section}.{key}"] = value
    return pairs


def assertions(case, path):
    want = EXPECTED[case]
    kinds = load(path)
    deployment = kinds["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    text = kinds["ConfigMap"]["data"]["worker.ini"]
    settings = ini(text)
    probes = {name: container[f"{name}Probe"] for name in ("startup", "liveness", "readiness")}
    labels = deployment["template"]["metadata"]["labels"]
    notes = deployment["template"]["metadata"]["annotations"]

    def equal(name, got, wanted):
        good = got == wanted
        print(f"ok   {case}: {name}" if good else f"FAIL {case}: {name}: {got!r}, not {wanted!r}")

    equal("kinds", set(kinds), want["kinds"])
    equal("image and replicas", (container["image"], deployment["replicas"]), (want["image"], want["replicas"]))
    equal("selector matches the pods", {k: labels.get(k) for k in deployment["selector"]["matchLabels"]}, deployment["selector"]["matchLabels"])
    user = 1001 if case == "full" else 65532
    equal("pod security context", pod["securityContext"], {"runAsNonRoot": True, "runAsUser": user, "runAsGroup": 65532, "fsGroup": 65532,
                                                           "seccompProfile": {"type": "RuntimeDefault"}})
    equal("container security context", container["securityContext"], {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                                                                      "capabilities": {"drop": ["ALL"]}})
    equal("no service links, no token", (pod["enableServiceLinks"], pod["automountServiceAccountToken"]), (False, False))
    equal("service account", (pod["serviceAccountName"], kinds.get("ServiceAccount", {}).get("automountServiceAccountToken", False)), (want["account"], False))
    equal("grace period", pod["terminationGracePeriodSeconds"], want["grace"])
    equal("probes", {name: (p["httpGet"]["path"], p["httpGet"]["port"]) for name, p in probes.items()},
          {"startup": ("/healthz", "admin"), "liveness": ("/healthz", "admin"), "readiness": ("/readyz", "admin")})
    equal("port", container["ports"], [{"name": "admin", "containerPort": 9464}])
    equal("startup probe outlasts the wait", probes["startup"]["periodSeconds"] * probes["startup"]["failureThreshold"], want["startup_s"])
    equal("update strategy", deployment["strategy"], want["strategy"])
    equal("scrape annotations", tuple(notes.get(f"prometheus.io/{k}") for k in ("scrape", "port", "path")), want["scrape"])
    budget = kinds.get("PodDisruptionBudget")
    equal("disruption budget", budget and {k: v for k, v in budget["spec"].items() if k != "selector"}, want["pdb"])
    if budget:
        equal("disruption budget's selector", budget["spec"]["selector"], deployment["selector"])
    equal("env", [e["name"] for e in container["env"]] if "env" in container else None, want["env"])
    equal("resources", (sorted(container["resources"]), container["resources"]["limits"]["memory"]),
          (["limits", "requests"], "8Ti" if case == "full" else f"{-(-bound({}) // MIB)}Mi"))
    equal("checksums", sorted(k for k, v in notes.items() if k.startswith("checksum/") and re.fullmatch("[0-9a-f]{64}", v)), ["checksum/config", "checksum/secret"])
    equal("admin.listen", settings["admin.listen"], "0.0.0.0:9464")
    equal("secret files", {k: v for k, v in settings.items() if k.endswith("_file") and v.startswith(SECRETS)},
          {k: f"{SECRETS}/{v}" for k, v in want["files"].items()})
    equal("secret volume", [v["secret"]["secretName"] for v in pod["volumes"] if v["name"] == "secrets"], [want["secret"]])
    equal("mounts", {m["name"]: (m["mountPath"], m.get("readOnly", False)) for m in container["volumeMounts"] if m["name"] != "ca"},
          {"config": (CONFIG, True), "secrets": (SECRETS, True), "state": ("/var/lib/chat-worker", False)})
    equal("notes of crashes outlive the container", (settings["worker.crash_file"], [v.get("emptyDir") for v in pod["volumes"] if v["name"] == "state"]),
          ("/var/lib/chat-worker/crashes", [{"sizeLimit": "1Mi"}]))
    secret = kinds.get("Secret")
    equal("secret's keys", secret and {k: base64.b64decode(v).decode() for k, v in secret["data"].items()}, want["keys"])
    outside = json.dumps({k: v for k, v in kinds.items() if k != "Secret"})
    equal("no secret outside the Secret", [v for v in (want["keys"] or {}).values() if v in outside], [])
    equal("startup wait", settings["worker.startup_wait_ms"], "120000" if case == "full" else "600000")
    if case == "full":
        equal("numbers, lists and objects", [settings[k] for k in ("worker.buffered_bytes_max", "kafka.socket.keepalive.enable",
                                             "worker.reply_topics_allowed", "worker.gather_ms", "provider.second-one.params")],
              ["17179869184", "true", "a.one,a.two", "0", '{"max_tokens":10000000,"stop":["<a&b>"],"temperature":0.2}'])
        equal("system prompt", kinds["ConfigMap"]["data"]["system-prompt"], 'Be brief.\n  Be kind: "always" {{ not a template }}; and # so on.\n')
        equal("contexts", [settings[k] for k in ("llm.contexts", "context.profile.url", "context.profile.required", "context.rules.kind")],
              ["profile,rules", "https://p.test/v1/{user}?s={session}", "true", "moderation"])
        equal("context prompt", kinds["ConfigMap"]["data"]["context-prompt"], "Who:\n{profile}\n")
        equal("placement", [k in pod for k in ("nodeSelector", "tolerations", "affinity", "topologySpreadConstraints", "priorityClassName")], [True] * 5)
        equal("spread constraints select the pods", [c["labelSelector"]["matchLabels"] for c in pod["topologySpreadConstraints"]],
              [deployment["selector"]["matchLabels"], {"own": "one"}])
        equal("pod annotations and labels", (notes["team"], labels["tier"]), ("chat", "back"))


def schemas(version, path):
    for kind, document in load(path).items():
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as e:
            sys.exit(f"{kind}: {'.'.join(map(str, e.path))}: {e.message}")


def unpack(path, folder):
    kinds = load(path)
    folder = pathlib.Path(folder)
    data = dict(kinds["ConfigMap"]["data"])
    text = data.pop("worker.ini")
    for name in re.findall(rf"{SECRETS}/(\S+)", text):
        secret = kinds.get("Secret")
        value = base64.b64decode(secret["data"][name]) if secret else ELSEWHERE.get(name, b"s3cret")
        (folder / name).write_bytes(value)
    for name, value in data.items():
        (folder / name).write_text(value)
    for mount in (SECRETS, CONFIG, STATE):
        text = text.replace(mount, str(folder))
    (folder / "worker.ini").write_text(text)


def settings(schema):
    """Of "  [section]" and "    key = default  (A to B unit | text | list | one, two)"."""
    schema = json.loads(pathlib.Path(schema).read_text())["properties"]
    sections = {name: schema[name]["properties"] for name in ("worker", "redis", "llm", "retry", "log")}
    for kind in ("provider", "context"):
        sections[f"{kind}.NAME"] = next(iter(schema[f"{kind}s"]["patternProperties"].values()))["properties"]
    section, seen, wrong = "", set(), []
    for line in sys.stdin.read().splitlines():
        if found := re.fullmatch(r"  \[(\S+)\].*", line):
            section = found[1]
        elif found := re.fullmatch(r"    (\w+) = .*  ?\(([^()]*)\)", line):
            if section == "admin":
                continue
            name = f"{section}.{found[1]}"
            seen.add(name)
            entry = sections.get(section, {}).get(found[1])
            bounds = re.match(r"(-?\d+) to (-?\d+)", found[2])
            if entry is None:
                wrong.append(f"{name} is missing")
            elif bounds and (entry.get("minimum"), entry.get("maximum")) != (int(bounds[1]), int(bounds[2])) or "enum" in entry and entry["enum"] != found[2].split(", "):
                wrong.append(f"{name}: {found[2]}")
    wrong += [f"{s}.{k} is unknown to the worker" for s, keys in sections.items() for k in keys if f"{s}.{k}" not in seen]
    print("; ".join(wrong))
    sys.exit(bool(wrong))


def memory(path, *given):
    """A key is a setting's, or providers, contexts (bytes of all) or prefetch_kib."""
    given = {key: int(value) for key, value in (pair.split("=") for pair in given)}
    (container,) = load(path)["Deployment"]["spec"]["template"]["spec"]["containers"]
    beside = {key: given.pop(key) for key in ("providers", "contexts", "prefetch_kib") if key in given}
    want = f"{-(-bound(given, **beside) // MIB)}Mi"
    got = container["resources"]["limits"]["memory"]
    sys.exit(None if got == want else f"{got}, not {want}")


{"schemas": schemas, "memory": memory, "assert": assertions, "unpack": unpack, "settings": settings}[sys.argv[1]](*sys.argv[2:])
