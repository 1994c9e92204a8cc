"""The retrieval collection: records, readers of data sets, and the checks that every collection passes."""
