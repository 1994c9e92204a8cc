"""What each instrument reads where the truth is known: one module an instrument family, collected by `proofs.py`."""
