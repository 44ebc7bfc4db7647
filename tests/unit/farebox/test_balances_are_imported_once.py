"""`farebox admin import`: every row is done once, or named; a dry run changes nothing."""

import json

import pytest

FILE = "external_id,plan,amount,reference\nann,payg,12.50,\nben,payg,3,may\nben,payg,4,june\n"


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "balances.csv"
    path.write_text(FILE)
    return path


def lines(result):
    return [json.loads(line) for line in result.stdout.splitlines()]


def granted(operator) -> int:
    return sum(int(c.data.amount) for c in operator.ledger.sent if c.kind == "GrantCredits")


async def test_a_dry_run_changes_nothing(operator, file):
    told = await operator.run("import", str(file), "--json")
    assert told.exit_code == 0, told.output
    assert [line["outcome"] for line in lines(told)] == ["planned"] * 3
    assert operator.ledger.sent == []


@pytest.mark.requirement("CRD-2")
async def test_a_file_imported_twice_grants_once(operator, file):
    for _ in range(2):
        done = await operator.run("import", str(file), "--apply", "--json")
        assert done.exit_code == 0, done.output
        assert {line["outcome"] for line in lines(done)} == {"imported"}
    totals = {}
    for line in lines(done):
        account = await operator.json("accounts", "show", line["account_id"])
        totals[line["external_id"]] = account["total"]
    assert totals == {"ann": "12.50", "ben": "7.00"}


async def test_another_amount_under_the_same_reference_is_refused(operator, file):
    await operator.run("import", str(file), "--apply")
    file.write_text(FILE.replace("12.50", "13.50") + "eve,payg,1,\n")
    done = await operator.run("import", str(file), "--apply", "--json")
    assert done.exit_code == 1
    outcomes = {(line["external_id"], line["reference"]): line for line in lines(done)}
    assert outcomes["ann", "balance"]["outcome"] == "refused"
    assert "imported before" in outcomes["ann", "balance"]["detail"]
    assert outcomes["eve", "balance"]["outcome"] == "imported"


async def test_every_fault_of_the_file_is_named_before_anything_is_sent(operator, file):
    file.write_text(
        "external_id,plan,amount\n,payg,1\nann,,1\nann,payg,-1\nann,payg,1,2\nann,p,2\n"
    )
    done = await operator.run("import", str(file), "--apply")
    assert done.exit_code == 2
    for line in (2, 3, 4, 5):
        assert f"line {line}: " in done.output
    assert operator.ledger.sent == []


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("external_id,amount\n", '"plan" is missing'),
        ("external_id,plan,amount,color\n", '"color" is not known'),
        ("", '"external_id" is missing'),
    ],
)
async def test_a_wrong_header_is_named(operator, file, text, named):
    file.write_text(text)
    done = await operator.run("import", str(file))
    assert (done.exit_code, named in done.output) == (2, True)


async def test_an_unknown_plan_refuses_its_row_alone(operator, file):
    file.write_text(FILE.replace("ben,payg,3", "joe,gold,3"))
    done = await operator.run("import", str(file), "--apply", "--json")
    assert done.exit_code == 1
    assert [line["outcome"] for line in lines(done)] == ["imported", "refused", "imported"]
