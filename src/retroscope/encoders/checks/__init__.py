"""What must hold before an encoder's vectors count: self-tests, signs of a wrong recipe, proofs of loading."""
