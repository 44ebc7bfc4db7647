"""`farebox admin` against the real admin API on a real socket, over a ledger in memory."""

import pytest

from libs.events.ids import new_id
from services.gateway.server import listen
from tests.support.admin_command import Operator, serve
from tests.support.ledger_in_memory import LedgerInMemory


async def test_an_account_is_opened_granted_keyed_frozen_and_shown(operator):
    account = (await operator.json("accounts", "open", "--plan", "payg"))["account_id"]
    granted = await operator.json("grant", account, "5.00", "--reason", "goodwill")
    assert granted["available"] == "5.00"
    issued = await operator.json("keys", "issue", account, "--name", "Ada", "--allowed", "swift-1")
    assert issued["secret"].startswith("fb_")
    assert issued["allowed"] == ["swift-1"]
    await operator.json("freeze", account)
    shown = await operator.json("accounts", "show", account)
    assert (shown["status"], shown["total"]) == ("frozen", "5.00")
    assert [key["key_id"] for key in shown["keys"]] == [issued["key_id"]]
    await operator.json("unfreeze", account)
    revoked = await operator.json("keys", "revoke", account, issued["key_id"])
    assert revoked["status"] == "revoked"


async def test_keys_are_rotated_and_listed(operator):
    account = (await operator.json("accounts", "open", "--plan", "payg"))["account_id"]
    old = await operator.json("keys", "issue", account, "--cap-day", "2.50", "--name", "Ada")
    arguments = ("keys", "rotate", account, old["key_id"], "--idempotency-key", "r")
    new = await operator.json(*arguments, "--overlap-s", "60")
    assert (new["rotates"], new["cap_day"], new["name"]) == (old["key_id"], "2.50", "Ada")
    again = await operator.run(*arguments, "--overlap-s", "60")
    assert (again.exit_code, "issued before" in again.stderr) == (0, True), again.output
    listed = await operator.run("keys", "list", account)
    header, *lines = listed.stdout.splitlines()
    assert header.split()[:3] == ["key_id", "name", "purpose"]
    assert {line.split()[0] for line in lines} == {old["key_id"], new["key_id"]}


async def test_a_balance_is_adjusted_limited_and_the_account_closed(operator):
    account = (await operator.json("accounts", "open", "--plan", "payg"))["account_id"]
    up = await operator.json("adjust", account, "--up", "2.00", "--reason", "goodwill")
    down = await operator.json("adjust", account, "--down", "0.50", "--reason", "mistake")
    assert (up["available"], down["available"], down["amount"]) == ("2.00", "1.50", "-0.50")
    neither = await operator.run("adjust", account, "--reason", "x")
    assert (neither.exit_code, "--up or --down" in neither.stderr) == (2, True)
    arguments = ("limits", "set", account, "--day", "1.00", "--alert", "50", "--alert", "90")
    limits = await operator.json(*arguments)
    assert (limits["day"], limits["month"], limits["alerts"]) == ("1.00", None, [50, 90])
    assert await operator.json("limits", "show", account) == limits
    assert (await operator.run("accounts", "plan", account, "studio")).exit_code == 1
    left = await operator.run("accounts", "close", account, "--reason", "asked")
    assert (left.exit_code, "account_not_empty" in left.stderr) == (1, True)
    closed = await operator.json("accounts", "close", account, "--reason", "asked", "--write-off")
    assert closed["status"] == "closed"
    assert await operator.json("whoami") == {"name": "admin", "role": "admin"}


FEE = {
    "position": 7, "occurred_at": "2026-11-20T12:00:00.000000Z", "res": new_id("req"),
    "key_id": None, "operation": "score-image", "currency": "USD", "schedule": "fidelity-1",
    "minor": 1, "total": 3,
}  # fmt: skip


async def test_a_list_is_a_table_for_people_and_csv_for_programs(operator):
    operator.ledger.told["fees"] = {"fees": [FEE], "totals": [], "next": 7}
    people = await operator.run("fees", new_id("acct"))
    assert people.stdout.splitlines()[1].split()[1:4] == ["0.01", "0.03", "USD"]
    assert "--after 7" in people.stderr
    table = await operator.run("fees", new_id("acct"), "--csv", "--after", "3")
    assert table.stdout.splitlines()[0].startswith("position,occurred_at,request_id")
    assert table.stderr == people.stderr
    assert operator.ledger.asked[-1][1]["after"] == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ("accounts", "list"), ("accounts", "plan"), ("accounts", "close"), ("keys", "list"),
        ("keys", "rotate"), ("entries",), ("grants",), ("fees",), ("requests",), ("receipt",),
        ("usage",), ("refund",), ("adjust",), ("limits", "show"), ("limits", "set"),
        ("reservations", "list"), ("reservations", "release"), ("quarantine", "list"),
        ("quarantine", "read"), ("whoami",),
    ],
)  # fmt: skip
async def test_every_command_explains_itself_and_can_answer_in_json(operator, arguments):
    told = await operator.run(*arguments, "--help")
    assert (told.exit_code, "--json" in told.output) == (0, True)


async def test_people_get_lines_they_can_read(operator):
    opened = await operator.run("accounts", "open", "--plan", "payg", "--external-id", "c7")
    assert "unit              USD" in opened.stdout
    account = (await operator.json("accounts", "show", "--external-id", "c7"))["account_id"]
    issued = await operator.run("keys", "issue", account)
    assert "secret            fb_" in issued.stdout
    shown = await operator.run("accounts", "show", account)
    assert "available         0.00" in shown.stdout
    assert "inference fb_" in shown.stdout
    assert "None" not in shown.stdout


async def test_the_same_idempotency_key_does_it_once(operator):
    account = (await operator.json("accounts", "open", "--plan", "payg"))["account_id"]
    for _ in range(2):
        await operator.json("grant", account, "1.00", "--reason", "x", "--idempotency-key", "g")
    await operator.json("grant", account, "1.00", "--reason", "x")
    assert operator.ledger.rules.accounts[account].available == 2 * 10**9
    arguments = ("keys", "issue", account, "--idempotency-key", "k")
    assert (await operator.run(*arguments)).stderr == ""
    again = await operator.run(*arguments)
    assert again.exit_code == 0
    assert "issued before" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("accounts", "show", new_id("acct")), "unknown_account, 404"),
        (("accounts", "show", "../../x"), "404"),
        (("accounts", "open", "--plan", "gold"), "there are payg, studio"),
        (("grant", new_id("acct"), "1.00", "--reason", "Not A Code"), "body.reason_code"),
    ],
)
async def test_a_refusal_is_one_line_and_status_1(operator, arguments, said):
    result = await operator.run(*arguments)
    assert result.exit_code == 1
    assert said in result.stderr
    assert result.stderr.startswith("farebox admin: ")
    assert result.stdout == ""
    assert "Traceback" not in result.output


@pytest.mark.parametrize("arguments", [(), (new_id("acct"), "--external-id", "x")])
async def test_show_wants_one_name(operator, arguments):
    result = await operator.run("accounts", "show", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "--external-id" in result.stderr


async def test_a_wrong_or_missing_token_is_told(operator):
    wrong = await operator.run("accounts", "show", new_id("acct"), FAREBOX_ADMIN_TOKEN="x")
    assert (wrong.exit_code, "invalid_admin_token" in wrong.stderr) == (1, True)
    missing = await operator.run("accounts", "show", new_id("acct"), FAREBOX_ADMIN_TOKEN="")
    assert (missing.exit_code, "FAREBOX_ADMIN_TOKEN" in missing.stderr) == (2, True)


async def test_after_503_the_key_to_repeat_with_is_told(operator):
    operator.ledger.away = True
    result = await operator.run("accounts", "open", "--plan", "payg", "--idempotency-key", "again")
    assert result.exit_code == 1
    assert "--idempotency-key again" in result.stderr


async def test_an_address_where_nobody_listens_is_told():
    with listen(("127.0.0.1", 0), shared=False) as taken:
        port = taken.getsockname()[1]
    operator = Operator(LedgerInMemory("admin"), f"http://127.0.0.1:{port}")
    result = await operator.run("accounts", "open", "--plan", "payg", "--idempotency-key", "again")
    assert result.exit_code == 1
    assert str(port) in result.stderr
    assert "--idempotency-key again" in result.stderr
    for url in ("nonsense", "http://[", "http://127.0.0.1:99999"):
        operator = Operator(LedgerInMemory("admin"), url)
        result = await operator.run("accounts", "show", new_id("acct"))
        assert (result.exit_code, "cannot be asked" in result.stderr) == (1, True), result.output


async def test_an_address_of_something_else_is_told():
    async def other(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"<html>"})

    async with serve(other) as url:
        result = await Operator(LedgerInMemory("admin"), url).run(
            "accounts", "show", new_id("acct")
        )
    assert result.exit_code == 1
    assert "is it the admin API?" in result.stderr
