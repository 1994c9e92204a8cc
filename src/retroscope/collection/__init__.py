"""The retrieval collection: records, readers of data sets, and checks that apply to every collection."""
