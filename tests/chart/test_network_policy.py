"""What pods may reach, and who may reach them."""
import pytest
from release import Refused, judge, render

PEER = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kafka"}}}


def spec(**values):
    release = render({"networkPolicy": {"enabled": True, **values}})
    judge(release, "1.25")
    return release.one("NetworkPolicy")["spec"]


def rules(**values):
    """{ports: where} of egress; no address: None."""
    return {tuple((port["port"], port["protocol"]) for port in rule["ports"]): rule.get("to") for rule in spec(**values)["egress"]}


def tcp(*ports):
    return tuple((port, "TCP") for port in ports)


DNS = ((53, "UDP"), (53, "TCP"))


def test_without_it_there_is_none():
    assert "NetworkPolicy" not in render().kinds()


def test_of_itself_it_lets_out_to_name_servers_kafka_redis_and_https():
    assert rules() == {DNS: [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "kube-system"}}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}],
                       tcp(9092): None, tcp(6379): None, tcp(443): None}


def test_it_is_of_all_pods_of_the_release():
    release = render({"networkPolicy": {"enabled": True}, "replay": {"enabled": True}})
    policy = release.one("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    labels = [template["metadata"]["labels"] for template in release.templates_of_pods().values()]
    assert len(labels) == 3 and all(policy["podSelector"]["matchLabels"].items() <= of.items() for of in labels)


@pytest.mark.parametrize("name", ["kafka", "redis", "providers", "dns"])
def test_each_rule_is_peers_ranges_and_ports(name):
    ports = DNS if name == "dns" else tcp(1111, 2222)
    given = {"to": [PEER], "cidrs": ["203.0.113.0/24", "2001:db8::/32"], "ports": [53] if name == "dns" else [1111, 2222]}
    assert rules(**{name: given})[ports] == [PEER, {"ipBlock": {"cidr": "203.0.113.0/24"}}, {"ipBlock": {"cidr": "2001:db8::/32"}}]


@pytest.mark.parametrize("name, gone", [("dns", DNS), ("kafka", tcp(9092)), ("redis", tcp(6379)), ("providers", tcp(443))])
def test_a_rule_can_be_left_out(name, gone):
    assert gone in rules() and gone not in rules(**{name: None})


def test_further_rules_go_in_as_they_are():
    assert rules(egress=[{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 8443, "protocol": "TCP"}]}])[tcp(8443)] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]


def test_in_goes_to_the_admin_port_alone():
    assert spec()["ingress"] == [{"ports": [{"protocol": "TCP", "port": "admin"}]}]
    assert spec(ingress={"from": [PEER]})["ingress"] == [{"ports": [{"protocol": "TCP", "port": "admin"}], "from": [PEER]}]


@pytest.mark.parametrize("values, why", [
    ({"providers": {"cidrs": ["llm.example.com"]}}, "networkPolicy.providers.cidrs: llm.example.com is no range of addresses as 10.0.0.0/8 or fd00::/8: a NetworkPolicy can't name hosts"),
    ({"kafka": {"cidrs": ["10.0.0.1"]}}, "networkPolicy.kafka.cidrs: 10.0.0.1 is no range of addresses"),
    ({"redis": {"ports": []}}, "networkPolicy.redis.ports is empty: name the ports, or set networkPolicy.redis to null"),
    ({"redis": {"ports": [70000]}}, "/networkPolicy/redis/ports/0")], ids=str)
def test_what_no_policy_can_say_is_refused(values, why):
    with pytest.raises(Refused) as refused:
        spec(**values)
    assert why in str(refused.value)
