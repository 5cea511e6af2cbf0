"""Pushed to whoever watches: tape.py notifies -> hub.py listens and reads -> viewer.py writes server-sent events."""
