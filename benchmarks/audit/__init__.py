"""What an audit found, before and after: a script for each finding."""
