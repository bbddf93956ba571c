"""The short form of the run through requests that are made from the document."""

from .requests import run


def test_no_request_meets_a_fault_and_no_refusal_or_log_or_store_repeats_a_value() -> None:
    result = run(count=400, seed=7)
    assert (result.faults, result.leaks) == ([], [])
    assert result.requests > 300
    assert result.statuses["PUT 201"] + result.statuses["PUT 200"] > 50  # all depths were reached
    assert result.statuses["POST 200"] > 0 < result.statuses["DELETE 200"]
    assert {
        "missing",
        "time_invalid",
        "location_invalid",
        "reference_invalid",
        "unauthorised",
    } <= result.refusals.keys()
