"""Plans that commands carry out: of a study, and of a file of texts."""
