"""docs/reference describes the routes as they are."""

import json

import pytest

from services.gateway.openapi_gen import expected_files

NAMES = ["openapi-admin.json", "openapi.json"]


@pytest.fixture(scope="module")
def files():
    return {path.name: (path, text) for path, text in expected_files().items()}


def test_these_are_all_the_descriptions(files):
    assert sorted(files) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_committed_description_is_the_generated_one(files, name):
    path, text = files[name]
    assert path.read_text(encoding="utf-8") == text, (
        "run `python -m services.gateway.openapi_gen` and commit the result"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_failure_is_described_as_a_problem(files, name):
    described = json.loads(files[name][1])
    operations = [op for path in described["paths"].values() for op in path.values()]
    assert operations
    for operation in operations:
        failures = {k: v for k, v in operation["responses"].items() if k >= "400"}
        assert {"401", "403", "500", "503"} <= set(failures)
        assert "default" not in operation["responses"], "every status is declared by its number"
        for failure in failures.values():
            assert set(failure["content"]) == {"application/problem+json"}


def test_every_post_of_the_admin_api_requires_the_idempotency_key(files):
    paths = json.loads(files["openapi-admin.json"][1])["paths"]
    posts = [path["post"] for path in paths.values() if "post" in path]
    assert len(posts) == 12
    for post in posts:
        required = [p["name"] for p in post["parameters"] if p["in"] == "header" and p["required"]]
        assert required == ["Idempotency-Key"]


@pytest.mark.requirement("CRD-1")
@pytest.mark.parametrize("name", NAMES)
def test_no_amount_is_a_json_number(files, name):
    assert '"number"' not in files[name][1]
