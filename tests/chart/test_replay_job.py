"""chat-producer replay as a Job and as a CronJob: Kafka as the workers have it, and what replay takes."""
import json
import re

import pytest
from parts import Topics
from release import ROOT, SECRETS, Refused, install, judge, render, run, unrestricted

SASL = {"properties": {"bootstrap.servers": "kafka:9093", "group.id": "answers", "security.protocol": "sasl_ssl", "sasl.username": "me", "socket.keepalive.enable": True},
        "secrets": {"sasl.password": "s3cret"}}


def replayed(replay=None, **values):
    return render({"replay": {"enabled": True, **(replay or {})}, **values})


def pod(release):
    (found,) = [template["spec"] for name, template in release.templates_of_pods().items() if name.split()[0] in ("Job", "CronJob")]
    return found


def test_without_it_there_is_none():
    assert not {"Job", "CronJob"} & render().kinds()


@pytest.mark.parametrize("schedule, kind", [("", "Job"), ("0 3 * * *", "CronJob"), ("@daily", "CronJob")])
@pytest.mark.parametrize("version", ["1.25", "1.37"])
def test_it_is_a_job_or_with_a_schedule_a_cronjob(schedule, kind, version):
    release = replayed({"schedule": schedule, "timeZone": "Etc/UTC" if schedule else ""})
    assert {"Job", "CronJob"} & release.kinds() == {kind}
    judge(release, version)
    assert unrestricted(pod(release)) == []


def test_each_install_and_upgrade_has_a_job_of_its_own():
    """A Job's pod can't be changed."""
    assert replayed().one("Job")["metadata"]["name"] == "t-chat-worker-replay-1"
    assert len(replayed(fullnameOverride="a" * 63).one("Job")["metadata"]["name"]) <= 63
    assert replayed({"schedule": "0 3 * * *"}, fullnameOverride="a" * 63).one("CronJob")["metadata"]["name"] == "a" * 45 + "-replay"  # 52: what a CronJob's may have


def test_a_cronjobs_runs_do_not_overlap():
    spec = replayed({"schedule": "0 3 * * *", "timeZone": "Etc/UTC", "suspend": True}).one("CronJob")["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["suspend"], spec["concurrencyPolicy"]) == ("0 3 * * *", "Etc/UTC", True, "Forbid")


def test_its_limits_are_the_jobs():
    spec = replayed({"backoffLimit": 2, "activeDeadlineSeconds": 60, "ttlSecondsAfterFinished": 0, "resources": {"requests": {"cpu": "1"}}}).one("Job")["spec"]
    assert (spec["backoffLimit"], spec["activeDeadlineSeconds"], spec["ttlSecondsAfterFinished"]) == (2, 60, 0)
    assert spec["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"] == "1" and spec["template"]["spec"]["restartPolicy"] == "Never"
    end_well = int(re.search(r"END_WELL_S (\d+)", (ROOT / "producer/command.h").read_text())[1])
    assert spec["template"]["spec"]["terminationGracePeriodSeconds"] > end_well
    usual = replayed().one("Job")["spec"]
    assert usual["backoffLimit"] == 0 and not {"activeDeadlineSeconds", "ttlSecondsAfterFinished"} & usual.keys()


def test_it_is_asked_as_its_values_say():
    (container,) = pod(replayed({"execute": True, "to": "chat.again", "limit": 1000000000, "rate": 10, "letters": ["chat.dead-0-17"]}, worker={"dead_topic": "a.dead"}))["containers"]
    assert container["command"] == ["/usr/bin/chat-producer"]
    assert container["args"] == ["replay", "--bootstrap=kafka:9092", "--topic=a.dead", "--execute", "--to=chat.again", "--limit=1000000000", "--rate=10", "--letter=chat.dead-0-17"]
    assert pod(replayed({"topic": "b.dead", "command": ["/opt/chat-producer"]}, worker={"dead_topic": "a.dead"}))["containers"][0]["args"][2] == "--topic=b.dead"


def test_it_reaches_kafka_as_the_workers_do():
    """The group is its own, and the password's file is all that it has of the Secret."""
    spec = pod(replayed(kafka=SASL, providers={"main": {"api_key": "k"}}))
    (container,) = spec["containers"]
    assert container["args"][3:] == ["--set=sasl.username=me", "--set=security.protocol=sasl_ssl", "--set=socket.keepalive.enable=true", f"--set=sasl.password_file={SECRETS}/kafka-sasl.password"]
    assert container["volumeMounts"] == [{"name": "secrets", "mountPath": SECRETS, "readOnly": True}]
    assert spec["volumes"] == [{"name": "secrets", "secret": {"secretName": "t-chat-worker", "defaultMode": 0o440, "items": [{"key": "kafka-sasl.password", "path": "kafka-sasl.password"}]}}]
    assert "volumes" not in pod(replayed())


def test_its_certificates_come_with_it():
    volume, mount = {"name": "ca", "configMap": {"name": "ca"}}, {"name": "ca", "mountPath": "/etc/ca"}
    spec = pod(replayed(extraVolumes=[volume], extraVolumeMounts=[mount]))
    assert (spec["volumes"], spec["containers"][0]["volumeMounts"]) == ([volume], [mount])


def test_kubernetes_fills_nothing_into_its_arguments():
    assert "--set=client.id=$$(HOME)" in pod(replayed(kafka={"properties": {"client.id": "$(HOME)"}}))["containers"][0]["args"]


def test_what_it_is_asked_is_what_chat_producer_takes(stage, tmp_path):
    """The rendered arguments, run: a dead letter goes back."""
    kafka = stage.kafka_mock(chat_jobs=1, chat_dead=1)
    topics = Topics(kafka.bootstrap)
    headers = [("__dlq.errors.topic", b"chat.jobs"), ("__dlq.errors.partition", b"0"), ("__dlq.errors.offset", b"7"), ("__dlq.errors.message", b"broke")]
    topics.send(json.dumps({"id": "j0", "message": "hi"}), key="s", topic="chat.dead", headers=headers)
    release = replayed({"execute": True, "limit": 5, "rate": 100, "letters": ["chat.dead-0-0"]},
                       kafka={"properties": {"bootstrap.servers": kafka.bootstrap, "group.id": "answers", "socket.keepalive.enable": True, "message.max.bytes": 2000000}, "secrets": {"sasl.password": "s3cret"}})
    here = release.unpack(tmp_path)
    done = run("chat-producer", *map(here, pod(release)["containers"][0]["args"]))
    assert done.returncode == 0 and "1 letters sent back" in done.stdout, done.stdout + done.stderr
    assert [json.loads(record.value())["id"] for record in topics.all("chat.jobs")] == ["j0"]


def test_the_notes_say_how_it_is_run_by_hand_and_that_it_only_counts():
    notes = install({"replay": {"enabled": True, "schedule": "0 3 * * *"}}).notes
    assert "create job --from=cronjob/t-chat-worker-replay replay-now" in notes and "replay.execute is false" in notes
    assert "replay.execute" not in install({"replay": {"enabled": True, "execute": True}}).notes


@pytest.mark.parametrize("replay, why", [
    ({"letters": ["chat.dead-0-17"], "schedule": "0 3 * * *"}, "replay.letters: letters that are named are sent back whatever was replayed before"),
    ({"schedule": "sometimes"}, "/replay/schedule"), ({"letters": ["17"]}, "/replay/letters/0"), ({"command": []}, "/replay/command")], ids=str)
def test_what_can_not_be_meant_is_refused(replay, why):
    with pytest.raises(Refused) as refused:
        replayed(replay)
    assert why in str(refused.value)
