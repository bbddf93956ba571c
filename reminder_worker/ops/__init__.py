"""The operator's page: what is due, how it ends, who is alive, and what waits for a person's decision.

It is blind: it holds no key, and nothing that it reads contains a phone, a place, a platform or an appointment's time.
``desk`` has the routes, ``entrances`` lets people in, ``feed`` reads the ledger, ``views`` puts it into words, and
``pages`` writes the HTML.
"""
