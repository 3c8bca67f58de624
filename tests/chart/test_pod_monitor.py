"""A PodMonitor in the place of the scrape annotations."""
import pytest
from release import POD_MONITOR, Refused, judge, render

SCRAPE = ("prometheus.io/scrape", "prometheus.io/port", "prometheus.io/path")


def monitored(**values):
    return render({"podMonitor": {"enabled": True, **values}, "podAnnotations": {"own": "stays"}}, apis=(POD_MONITOR,))


def test_it_reads_the_workers_admin_port():
    release = monitored()
    spec = release.one("PodMonitor")["spec"]
    assert spec == {"selector": release.workload["selector"], "podMetricsEndpoints": [{"port": "admin", "path": "/metrics"}]}
    assert [port["name"] for port in release.worker["ports"]] == ["admin"] and "Service" not in release.kinds()
    judge(release, "1.37")


def test_it_has_what_a_prometheus_wants():
    relabeling = {"sourceLabels": ["__name__"], "regex": "chat_.*", "action": "keep"}
    release = monitored(labels={"release": "prometheus"}, interval="30s", scrapeTimeout="5s", relabelings=[{"action": "labeldrop", "regex": "pod"}], metricRelabelings=[relabeling])
    (endpoint,) = release.one("PodMonitor")["spec"]["podMetricsEndpoints"]
    assert endpoint == {"port": "admin", "path": "/metrics", "interval": "30s", "scrapeTimeout": "5s", "relabelings": [{"action": "labeldrop", "regex": "pod"}], "metricRelabelings": [relabeling]}
    assert release.one("PodMonitor")["metadata"]["labels"]["release"] == "prometheus"
    judge(release, "1.37")


def test_the_scrape_annotations_go_then():
    assert [key for key in SCRAPE if key in render().workload["template"]["metadata"]["annotations"]] == list(SCRAPE)
    notes = monitored().workload["template"]["metadata"]["annotations"]
    assert [key for key in SCRAPE if key in notes] == [] and notes["own"] == "stays"


def test_without_the_operator_it_is_refused():
    with pytest.raises(Refused) as refused:
        render({"podMonitor": {"enabled": True}})
    assert ("podMonitor.enabled: the cluster has no monitoring.coreos.com/v1/PodMonitor: install the Prometheus operator first, or disable podMonitor "
            "(helm template doesn't ask a cluster: --api-versions monitoring.coreos.com/v1/PodMonitor says that it is there)") in str(refused.value)


def test_a_time_without_a_unit_is_refused():
    with pytest.raises(Refused, match="/podMonitor/interval"):
        monitored(interval="30")
