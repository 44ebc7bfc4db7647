import pytest

from libs.runtime.metrics import Registry


def test_counters_and_gauges_are_rendered_with_their_labels():
    registry = Registry()
    registry.counter("replies_total", "Replies sent.", kind="busy").inc()
    registry.counter("replies_total", "Replies sent.", kind="final").inc(3)
    registry.gauge("lag", "Events behind.").set(7)
    assert registry.render() == (
        "# HELP farebox_lag Events behind.\n"
        "# TYPE farebox_lag gauge\n"
        "farebox_lag 7\n"
        "# HELP farebox_replies_total Replies sent.\n"
        "# TYPE farebox_replies_total counter\n"
        'farebox_replies_total{kind="busy"} 1\n'
        'farebox_replies_total{kind="final"} 3\n'
    )


def test_asking_twice_gives_the_same_counter():
    registry = Registry()
    registry.counter("a_total", "").inc()
    registry.counter("a_total", "").inc()
    assert registry.counter("a_total", "").value == 2


def test_a_gauge_may_be_read_when_asked_for():
    queue = [1, 2, 3]
    registry = Registry()
    registry.gauge("queued", "", read=lambda: len(queue))
    assert "farebox_queued 3\n" in registry.render()
    queue.pop()
    assert "farebox_queued 2\n" in registry.render()


def test_one_name_has_one_kind():
    registry = Registry()
    registry.counter("a", "")
    with pytest.raises(ValueError, match="already a counter"):
        registry.gauge("a", "")


def test_label_values_cannot_break_out_of_their_quotes():
    registry = Registry()
    registry.counter("a_total", "", name='x"} 1\ny\\').inc()
    assert 'farebox_a_total{name="x\\"} 1\\ny\\\\"} 1\n' in registry.render()
