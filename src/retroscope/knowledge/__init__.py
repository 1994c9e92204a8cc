"""Knowledge: measure which facts a model states in clozes, and edit facts.

`clozes` turns facts into token ids, `states` computes a model's hidden states at chosen tokens, `readouts` turns states
into probabilities of tokens (by a language-model head or a fitted read-out), and `recall` ranks the answer of each fact
among the objects of its relation.
"""
