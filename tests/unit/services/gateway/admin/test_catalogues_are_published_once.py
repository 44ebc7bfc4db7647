"""Every partition is told of a catalogue, once, and each may be asked what it was told."""

import hashlib

import pytest

from services.gateway.publishing import publish_first

pytestmark = pytest.mark.requirement("CRD-6")
TEXT = '{"plans":{"other":{}}}'
HASH = hashlib.sha256(TEXT.encode()).hexdigest()
SOON = "2026-11-21T00:00:00Z"


async def listed(api):
    answer = await api.http.get("/admin/v1/catalogues")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_the_first_start_publishes_its_file_everywhere_and_no_later_one_does(api):
    partitions, catalogue = api.admin.catalogue.ledger.partitions, api.admin.catalogue
    await publish_first(api.ledger, partitions, catalogue)
    told = await listed(api)
    assert told["configured"] == catalogue.hash
    [row] = told["catalogues"]
    assert (row["hash"], row["in_force"], row["partitions"]) == (catalogue.hash, True, partitions)
    await publish_first(api.ledger, partitions, catalogue)
    assert len(api.ledger.sent) == partitions


async def test_what_was_begun_is_ended_but_another_file_is_not_published_by_itself(api):
    partitions, catalogue = api.admin.catalogue.ledger.partitions, api.admin.catalogue
    await publish_first(api.ledger, 1, catalogue)
    assert [row["in_force"] for row in (await listed(api))["catalogues"]] == [False]
    await publish_first(api.ledger, partitions, catalogue)
    assert [row["in_force"] for row in (await listed(api))["catalogues"]] == [True]
    await api.post("/catalogues", {"text": TEXT, "withdraws": [catalogue.hash]})
    api.ledger.catalogues["part_0"].pop(catalogue.hash)
    await publish_first(api.ledger, partitions, catalogue)
    assert catalogue.hash not in api.ledger.catalogues["part_0"]


async def test_publishing_again_changes_nothing_and_otherwise_is_refused(api):
    first = await api.post("/catalogues", {"text": TEXT, "effective_from": SOON})
    assert first.status_code == 200, first.text
    assert first.json()["catalogues"][0]["effective_from"] == "2026-11-21T00:00:00.000000Z"
    again = await api.post("/catalogues", {"text": TEXT, "effective_from": SOON})
    assert again.json() == first.json()
    other = await api.post("/catalogues", {"text": TEXT})
    assert (other.status_code, other.json()["code"], other.json()["hash"]) == (
        409, "already_published", HASH,
    )  # fmt: skip


async def test_only_what_was_published_can_be_withdrawn(api):
    answer = await api.post("/catalogues", {"text": TEXT, "withdraws": ["0" * 64]})
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_catalogue")
    assert answer.json()["parameter"] == "withdraws"


async def test_the_text_of_a_catalogue_is_what_its_hash_is_of(api):
    api.ledger.told["catalogue"] = {"hash": HASH, "text": TEXT}
    answer = await api.http.get(f"/admin/v1/catalogues/{HASH}")
    assert hashlib.sha256(answer.json()["text"].encode()).hexdigest() == HASH
