"""Check an encoder before its vectors are used: self-tests, signs of a wrong recipe, and loading."""
