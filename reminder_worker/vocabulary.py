"""Every event that the log may name; docs/operating.md explains each and what to do.

A message that is not one of these words is not written: it may hold anything.
"""

EVENTS = frozenset(
    """
    worker_started worker_stopping scheduler_started scheduler_stopped web_started web_stopped hooks_started
    hooks_stopped ops_started ops_stopped unsafe crashed wake_failed wake_hangs worker_hangs background_failed
    chore_failed step_failed request

    settled put_off attempt attempt_open attempt_resolved look_up_failed key_missing place_withheld texted_twice
    dead_letter swept receipt receipt_ignored reply_heard reply help_not_sent note_unreadable act

    provider_answer provider_misconfigured redaction_missing not_forgotten circuit_opened spending_nears_its_cap
    line_up line_down line_not_encrypted bind_failed not_heard delivery_unreadable receipt_unreadable reply_unreadable
    webhook_refused webhook_not_verified resolver_missing resolver_refused

    event_refused event_failed events_failed events_disabled events_dropped

    store_away store_put_back store_nearly_full message_dropped clocks_differ keys_behind keys_run_out keys_unreadable
    shards_differ metrics_not_served gauges_failed

    login_limited login_refused logged_in logged_out operators_unreadable
    """.split()  # noqa: SIM905 - a column of so many names is no better read
)
