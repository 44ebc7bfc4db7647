import pytest

from services.gateway.admin.roles import operators
from tests.unit.services.gateway.admin.conftest import SUPPORT, VIEWER


@pytest.mark.parametrize(
    "given",
    [
        "",
        "Bearer ",
        "Bearer operator-toke",
        "Bearer operator-token ",
        "bearer operator-token",
        "operator-token",
        "Basic operator-token",
        "Bearer é",
    ],
)
async def test_another_token_is_refused_before_anything_is_read(api, given):
    answer = await api.http.post(
        "/admin/v1/accounts", content=b"no json", headers={b"authorization": given.encode()}
    )
    assert answer.status_code == 401
    assert answer.json()["code"] == "invalid_admin_token"
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"] == "Bearer"
    assert api.ledger.sent == api.ledger.asked == []


async def test_unknown_paths_are_told_only_to_the_holder(api):
    assert (await api.http.get("/admin/v1/nothing")).status_code == 404
    answer = await api.http.get("/admin/v1/nothing", headers={"authorization": "Bearer x"})
    assert answer.status_code == 401


def test_an_empty_token_never_opens_anything():
    with pytest.raises(ValueError, match="FAREBOX_ADMIN_TOKEN"):
        operators("")


async def test_the_description_is_open_and_whole(api):
    answer = await api.http.get("/admin/v1/openapi.json", headers={"authorization": ""})
    assert answer.status_code == 200
    roles = {
        f"{method} {path.removeprefix('/admin/v1')}": operation.get("x-farebox-role", "viewer")
        for path, methods in answer.json()["paths"].items()
        for method, operation in methods.items()
    }
    assert {role for name, role in roles.items() if name.startswith("get ")} == {
        "viewer",
        "support",
    }
    assert all(role != "viewer" for name, role in roles.items() if not name.startswith("get "))
    admins = {name.rpartition("/")[2] for name, role in roles.items() if role == "admin"}
    assert admins == {"grants", "adjustments", "plan", "close", "release", "catalogues"}


@pytest.mark.requirement("ACC-7")
@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("ada", "entry 1: it must be name:role:token"),
        ("ada:owner:0123456789abcdef", "'owner' is no role"),
        ("ada:viewer:short", "at least 16 characters"),
        ("ada:viewer:0123456789abcdef ada:admin:fedcba9876543210", "ada is listed twice"),
        ("ada:viewer:0123456789abcdef,bob:admin:0123456789abcdef", "the same token"),
        ("Ada:viewer:0123456789abcdef", "entry 1"),
    ],
)
def test_a_wrong_list_of_operators_is_named_without_its_tokens(more, said):
    with pytest.raises(ValueError, match="FAREBOX_ADMIN_TOKENS") as refused:
        operators("", more)
    assert said in str(refused.value)
    assert "0123456789abcdef" not in str(refused.value)


@pytest.mark.requirement("ACC-7")
async def test_a_viewer_changes_nothing(api):
    """Before the body is looked at: every operation that needs a role refuses."""
    described = (await api.http.get("/admin/v1/openapi.json")).json()["paths"]
    asked = 0
    for path, methods in described.items():
        for method, operation in methods.items():
            if "x-farebox-role" in operation:
                answer = await api.http.request(
                    method, path.format(account_id="acct_" + "0" * 32, key_id="k", sequence=1,
                                        reservation_id="r"),
                    headers={"authorization": f"Bearer {VIEWER}", "idempotency-key": "k"}, json={},
                )  # fmt: skip
                asked += 1
                assert (answer.status_code, answer.json()["code"]) == (403, "role_missing"), path
    assert asked == 15
    assert api.ledger.sent == api.ledger.asked == []


async def test_who_changed_what_is_logged_by_name(api, caplog):
    caplog.set_level("INFO")
    await api.http.post(
        "/admin/v1/accounts", json={"plan": "payg"},
        headers={"authorization": f"Bearer {SUPPORT}", "idempotency-key": "k"},
    )  # fmt: skip
    [line] = [r for r in caplog.records if r.name.endswith("logbook")]
    assert line.getMessage() == "operator sam: POST /admin/v1/accounts: 201"
    assert SUPPORT not in caplog.text
