"""A table in a browser: the server's routes, its limits, and the page."""
