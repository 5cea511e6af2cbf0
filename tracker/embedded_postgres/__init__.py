"""Django's PostgreSQL backend with the server brought along: the ENGINE "tracker.embedded_postgres" wants a DATA_DIR.

The first connection starts the server (base.py), which every process of the project on this machine then shares
(server.py); it stops when the last of them has ended (lifetime.py, keeper.py). Nothing starts at import.
"""
