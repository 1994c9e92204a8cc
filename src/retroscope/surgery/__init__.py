"""Surgery: measure the effect of parts of a model by transplanting, erasing, editing or re-initialising them.

`transplant` defines which weights a hybrid of backbone and retriever takes from the donor. `pairs` checks that two
models can exchange weights, and `hybrids` encodes texts with hybrids. As a control, `random_changes` draws random
weight changes with the norm of the real change. `erasers` fits maps that erase directions from vectors, and `edited`
encodes texts with the states of one layer edited. `reinitialise` re-initialises parts of a backbone before it is
fine-tuned.
"""
