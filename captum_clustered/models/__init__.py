"""Load networks by name and find their layers."""
