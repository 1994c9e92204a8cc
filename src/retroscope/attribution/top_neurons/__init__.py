"""Top neurons: select them, test their stability and concentration, and compare those of two models."""
