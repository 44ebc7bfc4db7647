import pytest

from farebox.installation import Installation
from farebox.units import Process
from libs.catalogue import CatalogueError
from tests.support.catalogue import EXAMPLE


@pytest.fixture
def make(tmp_path):
    def installation(text=EXAMPLE, **options):
        (tmp_path / "farebox.toml").write_text(text)
        return Installation(tmp_path / "data", tmp_path / "farebox.toml", **options)

    return installation


def processes(installation):
    return {process.name: process for process in installation._own_processes()}


def test_configured_addresses_are_used_unless_a_port_is_given(make):
    made = make(ports={"gateway": 18402, "payments": 0})
    assert made.url("gateway") == "http://127.0.0.1:18402"
    assert made.url("admin") == "http://127.0.0.1:8403"
    payments = int(made.url("payments").rpartition(":")[2])
    assert payments not in {0, 8404}
    assert made.url("payments") == f"http://127.0.0.1:{payments}", "a free port is chosen once"


@pytest.mark.parametrize(
    ("listen", "url", "told"),
    [
        ("0.0.0.0:8402", "http://127.0.0.1:8402", "0.0.0.0:8402"),
        ("[::1]:8402", "http://[::1]:8402", "[::1]:8402"),
        ("[::]:8402", "http://[::1]:8402", "[::]:8402"),
    ],
)
def test_an_address_is_told_to_processes_as_it_is_and_to_people_as_one_they_can_open(
    make, listen, url, told
):
    made = make(EXAMPLE.replace("127.0.0.1:8402", listen))
    assert made.url("gateway") == url
    assert processes(made)["gateway-1"].env["FAREBOX_LISTEN"] == told


def test_workers_share_their_port_and_one_alone_does_not(make):
    assert EXAMPLE.count("workers = 2") == 1
    two = processes(make())
    assert [two[f"gateway-{n}"].env["FAREBOX_REUSE_PORT"] for n in (1, 2)] == ["1", "1"]
    assert len({two[f"gateway-{n}"].env["FAREBOX_LISTEN"] for n in (1, 2)}) == 1
    one = processes(make(EXAMPLE.replace("workers = 2", "workers = 1")))
    assert "FAREBOX_REUSE_PORT" not in one["gateway"].env
    assert not [name for name in one if name.startswith("gateway-")]


def test_further_variables_reach_their_kind_of_process_only(make):
    made = processes(make(env={"gateway": {"FAREBOX_DRAIN_MAX_S": "1"}}))
    holders = {name for name, process in made.items() if "FAREBOX_DRAIN_MAX_S" in process.env}
    assert holders == {"gateway-1", "gateway-2"}


def test_every_error_of_the_configuration_is_raised_before_anything_is_made(make, tmp_path):
    with pytest.raises(CatalogueError) as caught:
        make(EXAMPLE.replace("workers = 2", "workers = 0").replace('"8MiB"', '"8 apples"'))
    assert len(caught.value.errors) == 2
    assert not (tmp_path / "data").exists()


def test_an_unknown_process_cannot_be_restarted(make, tmp_path):
    beside = Process("stripe", ["true"], {}, tmp_path / "run.json", tmp_path / "log")
    with pytest.raises(KeyError):
        make(beside=[beside]).restart("legder")


def test_the_self_audit_runs_when_it_is_wanted_and_cannot_speak_to_anybody(make):
    assert "auditor" not in processes(make())
    audited = processes(make(auditor=True))
    assert list(audited)[-1] == "auditor"
    environment = audited["auditor"].env
    assert "farebox_auditor:" in environment["FAREBOX_DATABASE_URL"]
    assert "FAREBOX_NATS_PASSWORD" not in environment
