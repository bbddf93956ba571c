"""The operator's page: what is due, how it ends, who is alive, and what waits for a person's decision.

It is blind: no key is here, and neither a phone, a place, a platform nor an appointment's time is in anything that it
reads. ``desk`` has the routes, ``entrances`` lets people in, ``feed`` reads the ledger, ``views`` says it in words,
``pages`` writes it down.
"""
