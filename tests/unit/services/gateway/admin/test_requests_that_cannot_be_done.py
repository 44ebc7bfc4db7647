import pytest

from libs.events.replies import Reply
from libs.runtime.errors import PermissionDenied

PATHS = ("", "/{}/keys", "/{}/grants", "/{}/freeze", "/{}/unfreeze")


@pytest.mark.parametrize("key", [None, "", "é", "k" * 256, "a\tb"])
async def test_every_post_needs_an_idempotency_key_and_names_it(api, key):
    account = await api.open()
    done = len(api.ledger.sent)
    headers = {} if key is None else {b"idempotency-key": key.encode()}
    for path in PATHS:
        url = f"/admin/v1/accounts{path.format(account)}"
        answer = await api.http.post(url, json={}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")
        assert "Idempotency-Key" in answer.json()["detail"]
    assert len(api.ledger.sent) == done


@pytest.mark.requirement("RSV-8")
async def test_a_ledger_that_is_away_is_503_with_retry_after(api):
    account = await api.open()
    api.ledger.away = True
    answers = [
        await api.post("/accounts", {"plan": "payg"}),
        await api.post(f"/accounts/{account}/keys", {"purpose": "inference"}),
        await api.post(f"/accounts/{account}/grants", {"amount": "1.00", "reason_code": "x"}),
        await api.post(f"/accounts/{account}/freeze", {"reason": "manual"}),
        await api.http.get(f"/admin/v1/accounts/{account}"),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
        assert int(answer.headers["retry-after"]) >= 1


async def test_a_request_that_is_not_json_is_400(api):
    headers = {"idempotency-key": "k", "content-type": "application/json"}
    answer = await api.http.post("/admin/v1/accounts", content=b'{"plan": ', headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_json")


async def test_a_large_body_is_413_whether_its_size_is_told_or_not(api):
    async def endless():
        for _ in range(100):
            yield b"x" * 10_000

    for content in (b"x" * 70_000, endless()):
        answer = await api.http.post(
            "/admin/v1/accounts", content=content, headers={"idempotency-key": "k"}
        )
        assert (answer.status_code, answer.json()["code"]) == (413, "request_too_large")


async def test_unknown_fields_are_refused_by_name_and_not_repeated(api):
    answer = await api.post("/accounts", {"plan": "payg", "password": "hunter2"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "body.password"
    assert "hunter2" not in answer.text


async def test_the_wrong_method_is_405(api):
    answer = await api.http.put("/admin/v1/accounts", json={})
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("reply", "data", "status", "code"),
    [
        ("Malformed", {"error": "data.note: too long"}, 422, "invalid_request"),
        ("RejectedByStore", {"sqlstate": "53100"}, 500, "rejected_by_store"),
        ("Declined", {"code": "too_many_keys"}, 409, "too_many_keys"),
        ("Declined", {"code": "deadline_passed"}, 503, "deadline_passed"),
        ("Declined", {"code": "something_new"}, 422, "something_new"),
    ],
)
async def test_every_refusal_of_the_ledger_has_a_status(api, reply, data, status, code):
    account = await api.open()

    async def send(command, *, give_up_s):
        fields = {"account_id": account, "incarnation": 1, "position": None, "event_count": 0}
        return Reply(reply=reply, data=data, **fields)

    api.ledger.send = send
    answer = await api.post(f"/accounts/{account}/keys", {"purpose": "inference"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_a_forbidden_subject_looks_like_an_absent_ledger(api):
    async def send(command, *, give_up_s):
        raise PermissionDenied("publish", "ledger.commands.0.admin")

    api.ledger.send = send
    answer = await api.post("/accounts", {"plan": "payg"})
    assert (answer.status_code, answer.json()["code"]) == (503, "ledger_unavailable")
    assert "ledger.commands" not in answer.text


async def test_an_unforeseen_failure_is_500_and_tells_nothing(api):
    async def send(command, *, give_up_s):
        raise KeyError("secret of the house")

    api.ledger.send = send
    answer = await api.post("/accounts", {"plan": "payg"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "secret" not in answer.text
