"""The controlled world: invented people, and it is known which text ever said what about them."""
