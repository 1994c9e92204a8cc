"""Surgery: measure the effect of parts of a model by transplanting, erasing, editing or re-initialising them.

Hybrids of a backbone and its retriever, and backbones with re-initialised parts.

`transplant` names the hybrids that exchange weights, `pairs` says which pairs allow them, `hybrids` runs them.
`random_changes` makes their controls of equal size. `reinitialise` re-initialises parts of a backbone before it is
fine-tuned.
"""
