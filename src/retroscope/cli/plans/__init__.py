"""Plans that commands run: of a study, of a set of studies, and of a file of texts."""
