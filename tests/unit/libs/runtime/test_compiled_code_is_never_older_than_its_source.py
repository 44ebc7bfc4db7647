import json
import sys

import pytest

from libs.runtime.compiled import Finder, Stale, compiled_modules, count, digest_of, usable


@pytest.fixture
def root(tmp_path):
    (tmp_path / ".compiled").mkdir()
    (tmp_path / "rules.py").write_text("limit = 1")
    made = {
        "python": sys.implementation.cache_tag,
        "sources": {"rules.py": digest_of(tmp_path / "rules.py")},
        "modules": {"our.rules": "our.rules.so", "shared": "shared.so"},
    }
    (tmp_path / ".compiled" / "list.json").write_text(json.dumps(made))
    return tmp_path


def rewrite(root, **changes):
    path = root / ".compiled" / "list.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_what_is_as_its_sources_is_found_before_them(root):
    modules = usable(root)
    assert count(modules) == 1
    spec = Finder(modules).find_spec("our.rules", None)
    assert spec.origin == str(root / ".compiled" / "our.rules.so")
    assert Finder(modules).find_spec("our.other", None) is None


def test_an_edited_source_leaves_all_of_it_alone(root, caplog):
    (root / "rules.py").write_text("limit = 2")
    assert usable(root) == {}
    assert "rules.py changed since it was compiled" in caplog.text


def test_a_source_that_is_gone_leaves_all_of_it_alone(root):
    (root / "rules.py").unlink()
    assert usable(root) == {}


def test_another_python_runs_the_sources(root):
    rewrite(root, python="cpython-27")
    with pytest.raises(Stale, match="compiled for cpython-27"):
        compiled_modules(root)


def test_without_a_compiled_folder_it_is_plain_python(tmp_path):
    assert usable(tmp_path) == {}


def test_it_can_be_switched_off(root, monkeypatch):
    monkeypatch.setenv("FAREBOX_COMPILED", "0")
    assert usable(root) == {}
