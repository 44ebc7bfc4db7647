import pytest

from services.gateway.admin.api import holder_of


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
        holder_of("")


async def test_the_description_is_open_and_whole(api):
    answer = await api.http.get("/admin/v1/openapi.json", headers={"authorization": ""})
    assert answer.status_code == 200
    assert set(answer.json()["paths"]) == {
        "/admin/v1/accounts",
        "/admin/v1/accounts/{account_id}",
        "/admin/v1/accounts/{account_id}/keys",
        "/admin/v1/accounts/{account_id}/keys/{key_id}",
        "/admin/v1/accounts/{account_id}/grants",
        "/admin/v1/accounts/{account_id}/freeze",
        "/admin/v1/accounts/{account_id}/unfreeze",
        "/admin/v1/catalogues",
        "/admin/v1/catalogues/{catalogue_hash}",
    }
