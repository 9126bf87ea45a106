"""The state of a run for people and programs: facts, alarms, and how they are shown."""
