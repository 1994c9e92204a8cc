"""Overviews of stored studies: one page that compares the results of several studies."""
