"""Check an encoder before its vectors are used: the loading of its weights, self-tests, and signs of a wrong recipe."""
