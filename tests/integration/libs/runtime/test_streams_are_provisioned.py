import pytest
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from libs.events import subjects
from libs.runtime.positions import Incarnation
from libs.runtime.streams import (
    DURABLES,
    incarnation_of,
    is_rebuilt,
    ledger_stream,
    mark,
    provision,
    recreate,
)


@pytest.fixture
async def provisioner(own_nats_server):
    async with own_nats_server.client("provision") as nc:
        yield nc


async def test_every_partition_has_a_stream_that_keeps_what_it_got(provisioner):
    await provision(provisioner, 2)
    js = provisioner.jetstream()
    for partition in range(2):
        config = (await js.stream_info(f"LEDGER_{partition}")).config
        assert config.subjects == [subjects.events(partition)]
        assert config.storage == "file"
        assert config.allow_atomic
        assert config.allow_direct
        assert config.max_age == 30 * 86_400
        with pytest.raises(APIError):
            await js.purge_stream(f"LEDGER_{partition}")


async def test_provisioning_again_keeps_messages_and_where_consumers_stand(
    own_nats_server, provisioner
):
    await provision(provisioner, 1)
    async with own_nats_server.client("root") as root:
        js = root.jetstream()
        event_type = DURABLES["recharge"][0]
        for _ in range(3):
            await js.publish(subjects.event(0, event_type), b"{}")
        sub = await js.pull_subscribe_bind("recharge", "LEDGER_0")
        messages = await sub.fetch(2)
        await messages[-1].ack_sync()
        await provision(provisioner, 1)
        info = await js.consumer_info("LEDGER_0", "recharge")
        assert (await js.stream_info("LEDGER_0")).state.last_seq == 3
        assert info.ack_floor.stream_seq == 2


async def test_changed_settings_reach_streams_and_consumers_that_exist(provisioner):
    js = provisioner.jetstream()
    await js.add_stream(StreamConfig(name="LEDGER_0", subjects=["ledger.events.0.*"], max_age=60))
    await provision(provisioner, 1, {"recharge": ("KeyIssued",)})
    assert (await js.stream_info("LEDGER_0")).config.max_age == 30 * 86_400
    await provision(provisioner, 1, {"recharge": ("KeyIssued", "KeyRevoked")})
    config = (await js.consumer_info("LEDGER_0", "recharge")).config
    assert sorted(config.filter_subjects) == [
        "ledger.events.0.KeyIssued",
        "ledger.events.0.KeyRevoked",
    ]


async def test_a_durable_without_types_gets_every_event(provisioner):
    await provision(provisioner, 1, {"everything": ()})
    config = (await provisioner.jetstream().consumer_info("LEDGER_0", "everything")).config
    assert not config.filter_subjects
    assert not config.filter_subject


async def test_the_schedule_never_ages_out(provisioner):
    await provision(provisioner, 1)
    js = provisioner.jetstream()
    config = (await js.stream_info("RECHARGE")).config
    assert config.max_age == 0
    assert config.max_msgs_per_subject == 1
    assert config.allow_msg_schedules
    assert (await js.consumer_info("RECHARGE", "recharge")).config.filter_subject == (
        "recharge.sweep.>"
    )


async def test_quarantine_keeps_30_days_within_a_size(provisioner):
    await provision(provisioner, 1)
    config = (await provisioner.jetstream().stream_info("QUARANTINE")).config
    assert config.subjects == ["quarantine.*.*"]
    assert config.max_age == 30 * 86_400
    assert config.max_bytes > 0


async def test_a_new_stream_may_start_in_the_middle_of_an_old_log(provisioner):
    js = provisioner.jetstream()
    await js.add_stream(ledger_stream(0, Incarnation(2, 1001)))
    assert (await js.stream_info("LEDGER_0")).state.last_seq == 1000


async def test_a_stream_made_anew_keeps_its_beginning_its_mark_and_its_durables(provisioner):
    js = provisioner.jetstream()
    await provision(provisioner, 1, {"auditors": ("KeyRevoked",)})
    await mark(provisioner, 0, Incarnation(2, 1001))
    config = (await js.stream_info("LEDGER_0")).config
    assert is_rebuilt(config)
    assert incarnation_of(config) == Incarnation(2, 1001)
    await recreate(provisioner, 0, Incarnation(2, 1001))
    await provision(provisioner, 1)  # as every start of an installation does
    info = await js.stream_info("LEDGER_0")
    assert not is_rebuilt(info.config)
    assert incarnation_of(info.config) == Incarnation(2, 1001)
    assert (info.state.last_seq, info.config.max_age) == (1000, 30 * 86_400)
    durables = {each.name: each.config for each in await js.consumers_info("LEDGER_0")}
    assert set(durables) == {"auditors", *DURABLES}
    assert durables["auditors"].filter_subjects == [subjects.event(0, "KeyRevoked")]
