"""Running the processes of a run for days: on one machine and on rented ones."""
