"""Operating a run for days: its processes, its machines, and the recap of what it did."""
