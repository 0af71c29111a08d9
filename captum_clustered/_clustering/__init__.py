"""Cluster a layer's channels: the first step of the method."""
