"""Ablate clusters of channels and read the score: the second step of the method."""
