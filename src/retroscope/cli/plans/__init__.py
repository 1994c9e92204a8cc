"""Plans that commands run: of a study, of a set of studies, and of an attribution on a file of texts."""
