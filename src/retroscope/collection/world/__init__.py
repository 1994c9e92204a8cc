"""The controlled world: invented people, where it is known which text states which fact about whom."""
