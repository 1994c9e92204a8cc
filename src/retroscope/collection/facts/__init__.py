"""Facts as data: a subject, a relation, an object, and sentences and questions that ask for the object."""
