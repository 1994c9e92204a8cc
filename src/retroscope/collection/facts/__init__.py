"""Facts as data: a subject, a relation, an object, and sentences and questions about the object."""
