"""A fleet on this machine: the processes of a run under `supervisord`."""
