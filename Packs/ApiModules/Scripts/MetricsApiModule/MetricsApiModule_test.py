"""Unit tests of MetricsApiModule.py."""

import math

import MetricsApiModule as metrics
import pytest


class TestCounters:
    def test_counters_are_logged_once_and_never_lost(self) -> None:
        counters = metrics.Counters()
        counters.add("incidents created", 2)
        counters.answered(200)
        counters.answered(503)
        assert counters.take_line() == "1 answered 503, 2 incidents created"
        assert counters.take_line() == ""
        counters.add("incidents created")
        assert counters.total("incidents created") == 3
        assert counters.totals() == {"answered 503": 1, "incidents created": 3}
        assert counters.take_line() == "1 incident created"
        assert counters.totals() == {"answered 503": 1, "incidents created": 3}

    @pytest.mark.parametrize(
        ("name", "one"),
        [
            ("duplicates", "1 duplicate"),
            ("events without a key", "1 event without a key"),
            ("failed TLS handshakes", "1 failed TLS handshake"),
            ("answered 401", "1 answered 401"),
        ],
    )
    def test_a_count_of_1_is_singular(self, name: str, one: str) -> None:
        counters = metrics.Counters()
        counters.add(name)
        assert counters.take_line() == one
        counters.add(name, 2)
        assert counters.take_line() == f"2 {name}"

    def test_every_status_is_counted_and_only_200_stays_out_of_the_log(self) -> None:
        counters = metrics.Counters()
        for status in (200, 202, 200, 404):
            counters.answered(status)
        assert counters.statuses == {200: 2, 202: 1, 404: 1}
        assert counters.take_line() == "1 answered 202, 1 answered 404"

    def test_what_was_never_counted_is_0(self) -> None:
        counters = metrics.Counters()
        assert counters.total("duplicates") == 0
        assert counters.totals() == {}
        assert counters.take_line() == ""


class TestHistogram:
    @pytest.mark.parametrize(
        "value, counts",
        [
            (-1, [1, 1, 1]),
            (0.5, [1, 1, 1]),
            (0.50001, [0, 1, 1]),
            (2, [0, 1, 1]),
            (2.1, [0, 0, 1]),
            (math.inf, [0, 0, 1]),
        ],
    )
    def test_a_value_is_in_each_bucket_whose_bound_it_does_not_exceed(
        self, value: float, counts: list[int]
    ) -> None:
        histogram = metrics.Histogram((0.5, 2.0))
        histogram.observe(value)
        assert list(histogram.samples()) == [
            ('_bucket{le="0.5"}', counts[0]),
            ('_bucket{le="2.0"}', counts[1]),
            ('_bucket{le="+Inf"}', counts[2]),
            ("_sum", value),
            ("_count", 1),
        ]

    def test_many_values_add_up(self) -> None:
        histogram = metrics.Histogram((1.0, 10.0))
        for value in (0.25, 0.75, 5, 500):
            histogram.observe(value)
        assert [value for _, value in histogram.samples()] == [2, 3, 4, 506, 4]

    def test_without_a_value_all_samples_are_0(self) -> None:
        assert {value for _, value in metrics.Histogram((1.0,)).samples()} == {0}


class TestText:
    def test_a_label_s_values_are_in_order(self) -> None:
        samples = metrics.labelled("status", {503: 1, 200: 7})
        assert list(samples) == [('{status="200"}', 7), ('{status="503"}', 1)]

    def test_a_metric_is_its_help_its_kind_and_its_samples(self) -> None:
        text = metrics.metric_family(
            "requests_total", "counter", "Requests.", metrics.labelled("status", {200: 7, 503: 1})
        )
        assert text == (
            "# HELP requests_total Requests.\n"
            "# TYPE requests_total counter\n"
            'requests_total{status="200"} 7\n'
            'requests_total{status="503"} 1\n'
        )

    def test_a_metric_without_labels_and_one_without_samples(self) -> None:
        head = "# HELP queue Queue.\n# TYPE queue gauge\n"
        assert metrics.metric_family("queue", "gauge", "Queue.", [("", 3)]) == head + "queue 3\n"
        assert metrics.metric_family("queue", "gauge", "Queue.", []) == head

    def test_a_histogram_is_written_as_prometheus_reads_it(self) -> None:
        histogram = metrics.Histogram((0.02,))
        histogram.observe(0.5)
        text = metrics.metric_family("seconds", "histogram", "Seconds.", histogram.samples())
        assert text.splitlines()[2:] == [
            'seconds_bucket{le="0.02"} 0',
            'seconds_bucket{le="+Inf"} 1',
            "seconds_sum 0.5",
            "seconds_count 1",
        ]


class TestBoundedCounter:
    def test_past_the_limit_all_further_labels_are_others(self) -> None:
        """
        Given: a counter of two labels
        When: four labels are counted, the first of them once more at the end
        Then: two have counts of their own, and the other two one together
        """
        counter = metrics.BoundedCounter(2)
        for label in ("a", "b", "c", "d", "a"):
            counter.add(label)
        assert counter.counts == {"a": 2, "b": 1, "other": 2}
