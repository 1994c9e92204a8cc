"""Knowledge: read facts from a model by clozes, and edit them.

Facts are read from its states, by a language-model head or a read-out.

`clozes` turns facts into token ids, `states` reads a model's states at chosen tokens, `readouts` turns states into
probabilities of words, and `recall` ranks the answer of each fact among the objects of its relation.
"""
