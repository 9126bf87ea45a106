"""A stand-in for Vast.ai on loopback whose machines misbehave, under dstack's real server.

`cloud.py` answers the five HTTP calls that dstack makes to Vast.ai. A rented machine that works is
`machine.py`: an SSH server and dstack's runner. What "runs" there is `worker.py`, which writes the
heartbeats of a worker. `server.py` is dstack's own server, with Vast.ai's address moved to
loopback. `fleet.py` is a fleet and its guard, `hour.py` a whole run with real workers. Everything
listens on 127.0.0.1 only; no root, no container.
"""
