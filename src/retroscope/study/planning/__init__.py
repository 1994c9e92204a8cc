"""Plan a study: its steps with sizes and times, checked before anything runs."""
